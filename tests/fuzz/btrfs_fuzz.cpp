// SPDX-License-Identifier: LGPL-2.1-or-later
// The fs-btrfs plugin on hostile file systems. Input: a byte of flags, then runs of bytes of a disk that is
// zeros elsewhere: offset (4 bytes, little-endian), length (2 bytes), content. An Error is a good answer; any
// other exception, a crash, a map that contradicts the file system's own figures or a time-out is a finding.
#include "btrfs_filesystem.h"
#include "btrfs_plugin.h"
#include "checksum.h"
#include "superblock.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

namespace disktool::btrfs {
namespace {

constexpr std::uint64_t disk_size = 256 * MiB;
constexpr std::uint64_t page_size = 4096;
constexpr std::uint8_t flag_seal = 1; ///< make the checksums right, so that the fuzzer gets behind them

class Disk : public BlockDevice {
  public:
    explicit Disk(std::span<const std::byte> runs) {
        while (runs.size() > 6) {
            const std::uint64_t offset = load<std::uint32_t>(runs, 0) % disk_size;
            const std::size_t length =
                std::min<std::uint64_t>({load<std::uint16_t>(runs, 4), runs.size() - 6, disk_size - offset});
            put(offset, runs.subspan(6, length));
            runs = runs.subspan(6 + length);
        }
    }

    std::uint64_t size() const override { return disk_size; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        std::ranges::fill(buffer, std::byte{0});
        for (auto page = pages_.lower_bound(offset / page_size);
             page != pages_.end() && page->first * page_size < offset + buffer.size(); ++page) {
            const std::uint64_t start = std::max(offset, page->first * page_size);
            const std::uint64_t end = std::min(offset + buffer.size(), (page->first + 1) * page_size);
            std::copy_n(page->second.data() + start % page_size, end - start, buffer.data() + (start - offset));
        }
    }
    void put(std::uint64_t offset, std::span<const std::byte> data) {
        while (!data.empty()) {
            const std::size_t length = std::min<std::uint64_t>(data.size(), page_size - offset % page_size);
            std::vector<std::byte>& page = pages_[offset / page_size];
            page.resize(page_size);
            std::memcpy(page.data() + offset % page_size, data.data(), length);
            offset += length;
            data = data.subspan(length);
        }
    }
    std::vector<std::uint64_t> pages() const {
        std::vector<std::uint64_t> places;
        for (const auto& [number, page] : pages_)
            places.push_back(number * page_size);
        return places;
    }

  private:
    std::map<std::uint64_t, std::vector<std::byte>> pages_;
};

/// Every superblock, and whatever could be a node.
void seal(Disk& disk) {
    std::vector<std::byte> block(superblock_size);
    for (const std::uint64_t place : superblock_places)
        if (read_superblock(disk, place)) {
            disk.read(place, block);
            block[0xc4] = block[0xc5] = std::byte{0};
            set_checksum(ChecksumType::crc32c, block);
            disk.put(place, block);
        }
    const std::optional<Superblock> super = read_superblock(disk, superblock_places[0]);
    if (!super || super->node_size < page_size || super->node_size > 64 * KiB)
        return;
    block.resize(super->node_size);
    for (const std::uint64_t place : disk.pages()) {
        if (place + block.size() > disk.size() ||
            std::ranges::find(superblock_places, place) != superblock_places.end())
            continue;
        disk.read(place, block);
        if (load_uuid(block, 32) != super->metadata_uuid)
            continue;
        set_checksum(ChecksumType::crc32c, block);
        disk.put(place, std::span(block).first(checksum_field));
    }
}

void demand(bool condition) {
    if (!condition)
        std::abort();
}

void open_and_look(Disk& disk) {
    Plugin plugin;
    const int confidence = plugin.probe(disk);
    demand(confidence >= 0 && confidence <= 100);
    const std::unique_ptr<Filesystem> filesystem = plugin.open(disk);
    const FilesystemUsage usage = filesystem->usage();
    demand(usage.size <= disk.size() && usage.free <= usage.size);
    filesystem->details();
    filesystem->can_grow();
    filesystem->can_shrink();
    if (!filesystem->state().free_map_trusted)
        return;
    const std::uint64_t minimum = filesystem->minimum_size().bytes;
    demand(minimum > 0 && minimum <= usage.size);
    const auto check = [&](const ExtentSet& free) {
        demand(free.empty() || free.span().end() <= usage.size);
        for (const std::uint64_t place : superblock_places)
            demand(!free.intersects({place, superblock_space}));
    };
    check(filesystem->free_extents());
    check(static_cast<BtrfsFilesystem&>(*filesystem).free_extents_by_extent_tree());
}

} // namespace
} // namespace disktool::btrfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    disktool::btrfs::Disk disk(std::as_bytes(std::span(data, size).subspan(1)));
    try {
        if ((data[0] & disktool::btrfs::flag_seal) != 0)
            disktool::btrfs::seal(disk);
        disktool::btrfs::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}
