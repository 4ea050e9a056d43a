// SPDX-License-Identifier: LGPL-2.1-or-later
// The format extension of a ploop image from a hostile hand. Input: a byte of flags, a header, then the first
// bytes of the extension's cluster, which goes on with zeros, as does the file around it. An Error is a good
// answer; any other exception, a sanitizer's report, a time-out, an extension that claims what it cannot have,
// or one of ours that is not read as the same is a finding.
#include "check.h"
#include "delta.h"
#include "extension.h"
#include "little_endian.h"
#include "memory_file.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gcrypt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>

namespace disktool::ploop {
namespace {

constexpr std::uint8_t flag_seal = 1;  ///< magic and MD5 are made right, so that the fuzzer gets behind them
constexpr std::uint8_t flag_long = 2;  ///< the file is long; else it ends with the extension's cluster
constexpr std::uint8_t flag_early = 4; ///< it ends a little before that
constexpr std::uint64_t long_file = TiB;
/// Larger ones are read and summed up in whole, which says nothing new and takes long.
constexpr std::uint64_t largest_cluster = 256 * KiB;
/// Of a table that is walked: `check` looks at every slot up to the first data cluster.
constexpr std::uint64_t largest_table = 4 * MiB;

void demand(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void attempt(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error&) { // the answer to damage
    }
}

/// A header at 0, some bytes at one other place, and zeros.
class ExtensionFile final : public File {
  public:
    ExtensionFile(std::span<const std::byte> header, std::uint64_t at, std::span<const std::byte> content,
                  std::uint64_t size)
        : inner_({}), header_(header), at_(at), content_(content), size_(size) {}

    const std::string& path() const override { return inner_.path(); }
    FileStatus status() override {
        FileStatus status = inner_.status();
        status.size = size_;
        return status;
    }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        if (offset >= size_) {
            return 0;
        }
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), size_ - offset));
        std::ranges::fill(part, std::byte{0});
        lay(offset, part, at_, content_);
        lay(offset, part, 0, header_);
        return part.size();
    }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override {
        return offset < size_ ? std::optional(offset) : std::nullopt;
    }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override {
        return offset < size_ ? std::optional(size_) : std::nullopt;
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override { inner_.write(offset, data); }
    void punch_hole(Range range) override { inner_.punch_hole(range); }
    void zero(Range range) override { inner_.zero(range); }
    void allocate(Range range, bool keep_size) override { inner_.allocate(range, keep_size); }
    void truncate(std::uint64_t size) override { inner_.truncate(size); }
    void sync_data() override { inner_.sync_data(); }
    void sync() override { inner_.sync(); }
    bool try_flock(LockMode mode) override { return inner_.try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return inner_.try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return inner_.could_lock_bytes(range, mode); }
    int descriptor() const override { return -1; }

  private:
    /// The bytes of `part`, which lies at `offset`, that `content` at `at` covers.
    static void lay(std::uint64_t offset, std::span<std::byte> part, std::uint64_t at,
                    std::span<const std::byte> content) {
        const std::uint64_t from = std::max(offset, at);
        const std::uint64_t to = std::min(offset + part.size(), at + content.size());
        if (from < to) {
            std::ranges::copy(content.subspan(from - at, to - from), part.subspan(from - offset).begin());
        }
    }

    fuzz::MemoryFile inner_; ///< which ends the fuzzer when something is written
    std::span<const std::byte> header_;
    std::uint64_t at_;
    std::span<const std::byte> content_;
    std::uint64_t size_;
};

void seal(std::vector<std::byte>& cluster) {
    constexpr std::size_t sum = 8, parts = 24;
    static const char* const version = gcry_check_version(nullptr);
    demand(version != nullptr);
    put(std::span(cluster), 0, std::uint64_t{0xAB234CEF23DCEA87});
    gcry_md_hash_buffer(GCRY_MD_MD5, cluster.data() + sum, cluster.data() + parts, cluster.size() - parts);
}

void judge(const FormatExtension& found, const Header& header, std::uint64_t file_size) {
    demand(std::ranges::is_sorted(found.clusters));
    const std::set<std::uint64_t> clusters(found.clusters.begin(), found.clusters.end());
    demand(clusters.size() == found.clusters.size());
    demand(clusters.contains(header.extension_sector / header.cluster_sectors));
    demand(*clusters.begin() >= header.data_start() && *clusters.rbegin() < file_size / header.cluster_size());
    demand(found.unknown_parts || !found.must_not_change);
    std::size_t used = 1;
    for (const ChangeBitmap& bitmap : found.bitmaps) {
        demand(bitmap.table.empty() ||
               bitmap.table.size() == bitmap_table_entries(header, bitmap.granularity_sectors));
        for (const std::uint64_t entry : bitmap.table) {
            demand(entry <= 1 || clusters.contains(entry / header.cluster_sectors));
            used += entry > 1;
        }
        demand(parse_bitmap_id(bitmap_id_text(bitmap.id)) == bitmap.id);
    }
    demand(used == clusters.size());
}

/// What we make for a disk of this size must be read as the same.
void make_and_read(const Header& header, std::span<const std::byte> header_of_file, const BitmapId& id,
                   std::uint32_t granularity_sectors) {
    const std::uint64_t at = header.extension_sector * sector_size;
    std::vector<std::byte> made;
    try {
        made = make_extension(header, id, granularity_sectors);
    } catch (const Error& error) {
        demand(error.code() == ErrorCode::size_impossible);
        return;
    }
    demand(made.size() == header.cluster_size());
    ExtensionFile file(header_of_file, at, made, at + made.size());
    const FormatExtension again = read_extension(file, header);
    demand(again.bitmaps.size() == 1 && again.clusters.size() == 1 && !again.unknown_parts);
    const ChangeBitmap& bitmap = again.bitmaps.front();
    demand(bitmap.id == id && bitmap.granularity_sectors == granularity_sectors);
    demand(bitmap.table.size() == bitmap_table_entries(header, granularity_sectors));
    demand(std::ranges::all_of(bitmap.table, [](std::uint64_t entry) { return entry == 0; }));
}

void open_and_check(const std::function<std::unique_ptr<File>()>& open) {
    attempt([&] {
        const auto delta = Delta::open(open(), Access::read, true);
        delta->file_clusters();
        if (delta->hole_count() < 100'000) {
            delta->holes();
        }
    });
    attempt([&] {
        const auto hear = [](const std::string&) {};
        CheckOptions options;
        options.hard = options.thorough = options.read_only = true;
        check_image(*open(), options, {hear, hear}, [&] { return open(); });
    });
}

void look(std::uint8_t flags, std::span<const std::byte> header_in_file, std::span<const std::byte> content) {
    Header header = parse_header(header_in_file, "fuzz.img");
    check_header(header, "fuzz.img");
    if (header.cluster_size() > largest_cluster) {
        return;
    }
    std::vector<std::byte> cluster(header.cluster_size());
    std::ranges::copy(content.first(std::min(content.size(), cluster.size())), cluster.begin());
    if ((flags & flag_seal) != 0) {
        seal(cluster);
    }
    const std::uint64_t at =
        header.extension_sector < long_file / sector_size ? header.extension_sector * sector_size : long_file;
    std::uint64_t size = (flags & flag_long) != 0 ? long_file : at + cluster.size();
    size -= (flags & flag_early) != 0 ? 1 : 0;
    const auto open = [&] { return std::make_unique<ExtensionFile>(header_in_file, at, cluster, size); };
    if (header.has_extension()) {
        attempt([&] { judge(read_extension(*open(), header), header, size); });
    }
    if (header.data_start_sectors * sector_size <= largest_table) {
        open_and_check(open);
    }
    header.in_use = closed_mark_v21;
    header.extension_sector = header.data_start_sectors;
    BitmapId id{};
    std::ranges::copy(std::span(cluster).first(id.size()), id.begin());
    make_and_read(header, header_in_file, id,
                  std::uint32_t{1} << (std::to_integer<unsigned>(cluster[16]) % 32));
}

} // namespace
} // namespace disktool::ploop

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace disktool;
    const auto input = std::as_bytes(std::span(data, size));
    if (input.size() < 1 + ploop::header_size) {
        return 0;
    }
    ploop::attempt([&] {
        ploop::look(data[0], input.subspan(1, ploop::header_size), input.subspan(1 + ploop::header_size));
    });
    return 0;
}
