// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_bat.h"

#include "little_endian.h"

#include <disktool/bytes.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t piece_size = MiB;
constexpr std::size_t stretch_size = 4096; ///< skipped at once when it is zeros

class BatWalk {
  public:
    BatWalk(File& file, const Header& header, std::uint64_t entries, std::uint64_t bytes,
            const JudgeEntry& judge)
        : file_(file), header_(header), entries_(entries), bytes_(bytes), judge_(judge) {
        used_.set_first(header.data_start());
    }

    PlaceMap run() {
        const std::uint64_t end = header_.data_start() * header_.cluster_size();
        std::vector<std::byte> buffer;
        // A hole of the file is a run of empty slots: a header may claim far more BAT than there is.
        for (auto data = file_.next_data(0); data && *data < end;) {
            const std::uint64_t start = round_down(*data, stretch_size);
            const Range piece{start, std::min(piece_size - start % piece_size, end - start)};
            buffer.resize(piece.length);
            file_.read(piece.offset, buffer);
            look_at(piece, buffer);
            data = file_.next_data(piece.end());
        }
        if (written_) {
            file_.sync_data();
        }
        return std::move(used_);
    }

  private:
    void look_at(Range piece, std::span<std::byte> bytes) {
        std::vector<std::uint64_t> changed; // sectors, ascending
        for (std::size_t start = 0; start < bytes.size(); start += stretch_size) {
            const auto stretch = bytes.subspan(start, std::min(stretch_size, bytes.size() - start));
            if (all_zero(stretch)) {
                continue;
            }
            const std::size_t first = piece.offset + start == 0 ? header_size : 0;
            for (std::size_t at = first; at < stretch.size(); at += sizeof(std::uint32_t)) {
                const std::uint32_t entry = get<std::uint32_t>(stretch, at);
                if (entry == 0) {
                    continue;
                }
                const std::uint64_t position = piece.offset + start + at;
                if (const auto value = judge(entry, (position - header_size) / sizeof entry)) {
                    put(stretch, at, *value);
                    if (changed.empty() || changed.back() != position / sector_size) {
                        changed.push_back(position / sector_size);
                    }
                }
            }
        }
        write(piece, bytes, changed);
    }

    std::optional<std::uint32_t> judge(std::uint32_t entry, std::uint64_t slot) {
        const std::uint64_t offset = entry_offset(header_, entry);
        const std::uint64_t cluster = offset / header_.cluster_size();
        const auto faulty = [&](BatFault fault) { return judge_({fault, slot, cluster}); };
        if (slot >= entries_) {
            return faulty(BatFault::past_device);
        }
        if (offset % header_.cluster_size() != 0) {
            return faulty(BatFault::misaligned);
        }
        if (offset + header_.cluster_size() > bytes_) {
            return faulty(BatFault::past_end);
        }
        if (cluster < header_.data_start()) {
            return faulty(BatFault::in_tables);
        }
        if (used_.used(cluster)) {
            return faulty(BatFault::used_twice);
        }
        used_.add(cluster);
        return std::nullopt;
    }

    void write(Range piece, std::span<const std::byte> bytes, std::span<const std::uint64_t> sectors) {
        if (sectors.empty()) {
            return;
        }
        file_.sync_data();
        for (std::size_t i = 0; i < sectors.size();) {
            std::size_t end = i + 1;
            while (end < sectors.size() && sectors[end] == sectors[end - 1] + 1) {
                ++end;
            }
            const std::uint64_t from = std::max<std::uint64_t>(sectors[i] * sector_size, header_size);
            const std::uint64_t to = (sectors[end - 1] + 1) * sector_size;
            file_.write(from, bytes.subspan(from - piece.offset, to - from));
            i = end;
        }
        written_ = true;
    }

    File& file_;
    const Header& header_;
    const std::uint64_t entries_;
    const std::uint64_t bytes_;
    const JudgeEntry& judge_;
    PlaceMap used_;
    bool written_ = false;
};

} // namespace

std::string text_of(const FaultyEntry& entry) {
    switch (entry.fault) {
    case BatFault::past_device:
        return fmt::format("Data cluster ({}) beyond block device size... ", entry.slot);
    case BatFault::misaligned:
        return fmt::format("L2 slot ({}) corrupted... ", entry.slot);
    case BatFault::past_end:
        return fmt::format("Data cluster {} beyond EOF, vsec={}... ", entry.cluster, entry.slot);
    default: // header and BAT use their clusters, too
        return fmt::format("Block {} is used more than once, vsec={}... ", entry.cluster, entry.slot);
    }
}

PlaceMap walk_bat(File& file, const Header& header, std::uint64_t entries, std::uint64_t bytes,
                  const JudgeEntry& judge) {
    return BatWalk(file, header, entries, bytes, judge).run();
}

} // namespace disktool::ploop
