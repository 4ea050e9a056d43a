// SPDX-License-Identifier: LGPL-2.1-or-later
// The fs-ext4 plugin on hostile file systems. Input: a byte of flags, then the first bytes of a disk that goes
// on with zeros. An Error is a good answer; any other exception, a crash (in libext2fs too), a map that
// contradicts the file system's own figures or a time-out is a finding.
#include "ext4_plugin.h"
#include "library_handle.h"
#include "superblock.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace disktool::ext4 {
namespace {

constexpr std::uint64_t disk_size = 256 * MiB;
constexpr std::uint8_t flag_seal = 1; ///< make the checksums right, so that the fuzzer gets behind them

class Disk : public BlockDevice {
  public:
    explicit Disk(std::span<const std::byte> head) : head_(head.begin(), head.end()) {}

    std::uint64_t size() const override { return disk_size; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        std::ranges::fill(buffer, std::byte{0});
        if (offset < head_.size())
            std::copy_n(head_.data() + offset, std::min(buffer.size(), head_.size() - offset), buffer.data());
    }
    /// What lies beyond the input stays zero.
    void put(std::uint64_t offset, std::span<const std::byte> data) {
        if (offset < head_.size())
            std::copy_n(data.data(), std::min(data.size(), head_.size() - offset), head_.data() + offset);
    }

  private:
    std::vector<std::byte> head_;
};

void seal_superblock(Disk& disk) {
    ext2_super_block super;
    disk.read(SUPERBLOCK_OFFSET, std::as_writable_bytes(std::span(&super, 1)));
    super.s_checksum_type = 1;
    super.s_checksum = ext2fs_cpu_to_le32(ext2fs_crc32c_le(~0u, reinterpret_cast<const unsigned char*>(&super),
                                                           offsetof(ext2_super_block, s_checksum)));
    disk.put(SUPERBLOCK_OFFSET, std::as_bytes(std::span(&super, 1)));
}

/// Of the first few groups, and of their block bitmaps; only where the descriptors are in one piece.
void seal_groups(Disk& disk) {
    const std::optional<Superblock> super = Superblock::read(disk);
    if (!super || !super->defect().empty() || super->features().unknown().any() ||
        super->features().journal_device() || super->size() > disk.size())
        return;
    const LibraryHandle handle(disk);
    const ext2_filsys fs = handle.get();
    if (ext2fs_has_feature_meta_bg(fs->super))
        return;
    const std::size_t descriptor_size = EXT2_DESC_SIZE(fs->super);
    std::vector<std::byte> bitmap(fs->blocksize);
    for (dgrp_t group = 0; group < std::min<dgrp_t>(fs->group_desc_count, 16); ++group) {
        const std::uint64_t place = ext2fs_block_bitmap_loc(fs, group);
        if (place < disk_size / fs->blocksize) {
            disk.read(place * fs->blocksize, bitmap);
            ext2fs_block_bitmap_csum_set(fs, group, reinterpret_cast<char*>(bitmap.data()),
                                         static_cast<int>(fs->super->s_clusters_per_group / 8));
        }
        ext2fs_group_desc_csum_set(fs, group);
        const auto* descriptor =
            reinterpret_cast<const std::byte*>(ext2fs_group_desc(fs, fs->group_desc, group));
        disk.put((fs->super->s_first_data_block + 1) * std::uint64_t{fs->blocksize} + group * descriptor_size,
                 {descriptor, descriptor_size});
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
    const ExtentSet free = filesystem->free_extents();
    demand(free.empty() || free.span().end() <= usage.size);
    demand(free.total() <= usage.free);
    demand(!free.intersects({0, SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE}));
}

} // namespace
} // namespace disktool::ext4

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    disktool::ext4::Disk disk(std::as_bytes(std::span(data, size).subspan(1)));
    try {
        if ((data[0] & disktool::ext4::flag_seal) != 0) {
            disktool::ext4::seal_superblock(disk);
            disktool::ext4::seal_groups(disk);
        }
        disktool::ext4::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}
