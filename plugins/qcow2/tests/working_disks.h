// SPDX-License-Identifier: LGPL-2.1-or-later
// Random work on working disks, a plain model of what must come of it, and QEMU's view of bitmaps.
#pragma once

#include "changed_images.h"
#include "support/recording_door.h"

#include <disktool/working_disk.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

namespace disktool::qcow2::test {

/// The same requests go to a working disk and to bytes in memory.
class ModelledWork {
  public:
    ModelledWork(WorkingDisk& disk, Bytes content, std::uint64_t cluster_size, std::uint32_t seed)
        : disk_(disk), cluster_size_(cluster_size), random_(seed), content_(std::move(content)) {
        content_.resize(disk.size());
    }

    const Bytes& content() const { return content_; }
    /// Bytes that requests touched, by sectors.
    const std::vector<bool>& touched() const { return touched_; }

    void random_requests(int count) {
        touched_.resize(content_.size() / 512);
        for (int i = 0; i < count; ++i) {
            const std::uint64_t most = below(3) == 0 ? cluster_size_ * 6 : 4 * 512;
            std::uint64_t offset = below(content_.size() / 512) * 512;
            std::uint64_t length =
                std::min(content_.size() - offset, (1 + below(std::max<std::uint64_t>(1, most / 512))) * 512);
            if (below(3) == 0) { // whole clusters
                offset = offset / cluster_size_ * cluster_size_;
                length = std::min(content_.size() - offset, round_up(length, cluster_size_));
            }
            request({offset, length});
        }
    }

    void write(std::uint64_t offset, const Bytes& data) {
        disk_.write(offset, data);
        std::copy(data.begin(), data.end(), content_.begin() + offset);
        touch({offset, data.size()});
    }

  private:
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    void touch(Range range) {
        touched_.resize(content_.size() / 512);
        std::fill(touched_.begin() + range.offset / 512, touched_.begin() + divide_up(range.end(), 512), true);
    }
    void request(Range range) {
        switch (below(5)) {
        case 0:
            disk_.zero(range);
            std::fill_n(content_.begin() + range.offset, range.length, std::byte{0});
            touch(range);
            break;
        case 1: {
            disk_.discard(range);
            touch(range);
            const std::uint64_t end =
                range.end() == content_.size() ? range.end() : round_down(range.end(), cluster_size_);
            const std::uint64_t from = round_up(range.offset, cluster_size_);
            if (from < end) {
                std::fill(content_.begin() + from, content_.begin() + end, std::byte{0});
            }
            break;
        }
        default: {
            Bytes data(range.length);
            const bool zeros = below(5) == 0;
            for (std::size_t i = 0; i < data.size(); ++i) {
                data[i] = zeros ? std::byte{0} : static_cast<std::byte>(random_());
                if (!zeros && i % 4096 == 4095 && below(4) == 0) { // some pages of zeros in between
                    i += std::min<std::size_t>(data.size() - i - 1, 8192);
                }
            }
            write(range.offset, data);
        }
        }
    }

    WorkingDisk& disk_;
    std::uint64_t cluster_size_;
    std::mt19937 random_;
    Bytes content_;
    std::vector<bool> touched_;
};

/// Which sectors QEMU reports as dirty in a bitmap of the image.
inline std::vector<bool> dirty_by_qemu(const std::string& path, const std::string& bitmap) {
    const TemporaryFolder folder;
    const std::string socket = folder / "socket";
    const std::string pid_file = folder / "pid";
    run_tool(
        {"qemu-nbd", "-f", "qcow2", "-r", "-B", bitmap, "-k", socket, "--fork", "--pid-file", pid_file, path});
    const auto json = nlohmann::json::parse(
        run_tool({"qemu-img", "map", "--output=json", "--image-opts",
                  fmt::format("driver=nbd,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:{}",
                              socket, bitmap)}));
    std::vector<bool> dirty;
    for (const auto& extent : json) {
        // Dirty is shown as "no data".
        dirty.insert(dirty.end(), extent["length"].get<std::uint64_t>() / 512, !extent["data"].get<bool>());
    }
    // It ends with its only client; wait, so that its lock is gone.
    for (int i = 0; i < 500 && std::filesystem::exists(socket); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return dirty;
}

/// The same, read by ourselves.
inline std::vector<bool> dirty_sectors(const std::string& path, const std::string& name) {
    auto image = open(path);
    const Header& header = image->metadata().header();
    std::vector<bool> dirty(header.virtual_size / 512);
    for (const Bitmap& bitmap : image->bitmaps()) {
        if (bitmap.info.name != name) {
            continue;
        }
        for (std::uint64_t sector = 0; sector < dirty.size(); ++sector) {
            const std::uint64_t bit = sector * 512 / bitmap.info.granularity;
            const std::uint64_t byte = bit / 8;
            const auto entry =
                peek<std::uint64_t>(path, bitmap.table_offset + byte / header.cluster_size() * 8);
            const std::uint64_t place = entry & bitmap_bits::offset;
            dirty[sector] =
                place == 0 ? entry & bitmap_bits::all_ones
                           : peek<std::uint8_t>(path, place + byte % header.cluster_size()) >> (bit % 8) & 1;
        }
    }
    return dirty;
}

} // namespace disktool::qcow2::test
