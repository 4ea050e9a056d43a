// SPDX-License-Identifier: LGPL-2.1-or-later
#include "groups.h"

#include "damage.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

namespace disktool::ext4 {

namespace {

class MetadataCheck {
  public:
    MetadataCheck(ext2_filsys filesystem, const BlockDevice& device)
        : fs_(filesystem), device_(device), blocks_(ext2fs_blocks_count(filesystem->super)),
          flexible_(ext2fs_has_feature_flex_bg(filesystem->super)) {}

    ExtentSet run() {
        std::uint64_t free_clusters = 0;
        for (dgrp_t group = 0; group < fs_->group_desc_count; ++group) {
            check_descriptor(group);
            add_head(group);
            add_placed(group, ext2fs_block_bitmap_loc(fs_, group), 1, "block bitmap");
            add_placed(group, ext2fs_inode_bitmap_loc(fs_, group), 1, "inode bitmap");
            add_placed(group, ext2fs_inode_table_loc(fs_, group), fs_->inode_blocks_per_group, "inode table");
            free_clusters += ext2fs_bg_free_blocks_count(fs_, group);
        }
        const std::uint64_t free_blocks = ext2fs_free_blocks_count(fs_->super);
        if (free_clusters << fs_->cluster_ratio_bits != free_blocks)
            throw damage(device_, fmt::format("the groups count {} free blocks, the superblock {}",
                                              free_clusters << fs_->cluster_ratio_bits, free_blocks));
        return united();
    }

  private:
    void check_descriptor(dgrp_t group) const {
        if (!ext2fs_group_desc_csum_verify(fs_, group))
            throw damage(device_, fmt::format("the descriptor of group {} has a bad checksum", group));
        const auto clusters =
            static_cast<std::uint64_t>(ext2fs_group_blocks_count(fs_, group)) + EXT2FS_CLUSTER_MASK(fs_);
        if (ext2fs_bg_free_blocks_count(fs_, group) > clusters >> fs_->cluster_ratio_bits ||
            ext2fs_bg_free_inodes_count(fs_, group) > fs_->super->s_inodes_per_group)
            throw damage(device_, fmt::format("group {} counts more free than it holds", group));
    }

    void add_head(dgrp_t group) {
        const GroupHead head = group_head(fs_, group);
        if (head.has_superblock)
            add(group, head.superblock, 1, "superblock");
        if (head.descriptor_count != 0)
            add(group, head.descriptors, head.descriptor_count, "descriptor table");
        if (head.meta_descriptor != 0)
            add(group, head.meta_descriptor, 1, "descriptor block");
    }

    void add_placed(dgrp_t group, std::uint64_t block, std::uint64_t count, std::string_view what) {
        if (!flexible_ &&
            (block < ext2fs_group_first_block2(fs_, group) || block > ext2fs_group_last_block2(fs_, group)))
            throw damage(device_,
                         fmt::format("the {} of group {} is said to lie at block {}, outside the group", what,
                                     group, block));
        add(group, block, count, what);
    }

    void add(dgrp_t group, std::uint64_t block, std::uint64_t count, std::string_view what) {
        if (block < fs_->super->s_first_data_block || block >= blocks_ || count > blocks_ - block)
            throw damage(device_, fmt::format("the {} of group {} is said to lie at block {} of {}", what,
                                              group, block, blocks_));
        ranges_.push_back({block * fs_->blocksize, count * fs_->blocksize});
        total_ += count * fs_->blocksize;
    }

    ExtentSet united() {
        ExtentSet metadata = ExtentSet::from_unsorted(std::move(ranges_));
        if (metadata.total() != total_)
            throw damage(device_, "its group descriptors place two structures in the same blocks");
        return metadata;
    }

    ext2_filsys fs_;
    const BlockDevice& device_;
    std::uint64_t blocks_;
    bool flexible_;
    std::vector<Range> ranges_;
    std::uint64_t total_ = 0;
};

} // namespace

GroupHead group_head(ext2_filsys filesystem, dgrp_t group) {
    blk64_t superblock = 0;
    blk64_t descriptors = 0;
    blk64_t meta_descriptor = 0;
    ext2fs_super_and_bgd_loc2(filesystem, group, &superblock, &descriptors, &meta_descriptor, nullptr);
    GroupHead head;
    head.superblock = superblock;
    head.has_superblock = group == 0 || superblock != 0; // with blocks > 1 KiB the first one is in block 0
    head.descriptors = descriptors;
    if (descriptors != 0)
        head.descriptor_count = ext2fs_has_feature_meta_bg(filesystem->super)
                                    ? filesystem->super->s_first_meta_bg
                                    : filesystem->desc_blocks + filesystem->super->s_reserved_gdt_blocks;
    head.meta_descriptor = meta_descriptor;
    return head;
}

ExtentSet checked_metadata(ext2_filsys filesystem, const BlockDevice& device) {
    return MetadataCheck(filesystem, device).run();
}

} // namespace disktool::ext4
