// SPDX-License-Identifier: LGPL-2.1-or-later
#include "minimum_size.h"

#include "damage.h"
#include "groups.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace disktool::ext4 {

namespace {

/// resize2fs refuses sizes below an estimate of its own, which errs on the safe side. This is a model of that
/// estimate, oddities included: a value of ours below it would be refused, one above it is a waste. Its shape
/// was known, its details were settled by comparing results on thousands of file systems (docs/fs-ext4.md).
class ShrinkModel {
  public:
    ShrinkModel(ext2_filsys filesystem, const BlockDevice& device)
        : fs_(filesystem), blocks_(ext2fs_blocks_count(fs_->super)), per_group_(fs_->super->s_blocks_per_group),
          group_count_(fs_->group_desc_count),
          inodes_(fs_->super->s_inodes_count - fs_->super->s_free_inodes_count), data_(data_blocks(device)) {
        if (ext2fs_has_feature_flex_bg(fs_->super))
            flex_size_ = std::uint64_t{1} << fs_->super->s_log_groups_per_flex;
    }

    std::uint64_t data() const { return data_; }
    std::uint64_t groups() const { return groups_; }

    /// In blocks.
    std::uint64_t minimum() {
        if (!find_groups())
            return blocks_;
        // The last group need not be whole: its metadata, the data that the others do not hold, but at least 50
        // blocks. In the first flexible group the metadata of all its groups is counted to it.
        const std::uint64_t last_metadata_from = groups_ - 1 < flex_size_ ? 0 : groups_ - 1;
        const std::uint64_t in_last =
            std::max<std::uint64_t>(50, data_ > room_before_last_ ? data_ - room_before_last_ : 0);
        std::uint64_t size = (groups_ - 1) * per_group_ + overhead(last_metadata_from, planned_) + in_last +
                             fs_->super->s_first_data_block;
        size = std::max<std::uint64_t>(size, ext2fs_inode_table_loc(fs_, static_cast<dgrp_t>(groups_ - 1)) +
                                                 fs_->inode_blocks_per_group);
        if (size < blocks_ && ext2fs_has_feature_extents(fs_->super))
            size += extent_tree_reserve(size);
        return std::min(size, blocks_);
    }

  private:
    /// Metadata that belongs to groups [from, to), wherever it lies.
    std::uint64_t overhead(std::uint64_t from, std::uint64_t to) const {
        std::uint64_t sum = 0;
        for (; from < to; ++from)
            sum += group_head(fs_, static_cast<dgrp_t>(from)).blocks() + 2 + fs_->inode_blocks_per_group;
        return sum;
    }
    /// Blocks for data in a whole group.
    std::uint64_t room(std::uint64_t group) const {
        return per_group_ - std::min(per_group_, overhead(group, group + 1));
    }
    /// Groups behind the first `count` of which the metadata must have room too: the rest of the flexible
    /// group.
    std::uint64_t rest_of_flexible_group(std::uint64_t count) const {
        return flex_size_ == 0 ? 0 : std::min(group_count_ - count, flex_size_ - count % flex_size_);
    }

    std::uint64_t data_blocks(const BlockDevice& device) const {
        const std::uint64_t not_data = overhead(0, group_count_) + ext2fs_free_blocks_count(fs_->super);
        if (not_data > blocks_)
            throw damage(device,
                         fmt::format("it counts {} blocks as free or metadata, of {}", not_data, blocks_));
        return blocks_ - not_data;
    }

    /// How many groups hold the inodes and the data; false when all there are do not suffice.
    bool find_groups() {
        groups_ = std::max<std::uint64_t>(1, divide_up(inodes_, fs_->super->s_inodes_per_group));
        planned_ = groups_ + rest_of_flexible_group(groups_);
        for (std::uint64_t group = 0; group + 1 < groups_; ++group)
            room_before_last_ += room(group);
        const std::uint64_t metadata = overhead(0, planned_);
        std::int64_t capacity =
            static_cast<std::int64_t>(groups_ * per_group_ - std::min(metadata, groups_ * per_group_));
        while (capacity < static_cast<std::int64_t>(data_)) {
            const std::uint64_t more =
                divide_up(static_cast<std::uint64_t>(static_cast<std::int64_t>(data_) - capacity), per_group_);
            if (more > group_count_ - groups_)
                return false;
            room_before_last_ += room(groups_ - 1);
            groups_ += more;
            capacity += static_cast<std::int64_t>(more * per_group_);
            // The room of groups whose metadata was planned for before is left out: one of the oddities.
            const std::uint64_t counted_from = planned_;
            if (groups_ <= counted_from)
                continue;
            planned_ = groups_ + rest_of_flexible_group(groups_);
            capacity -= static_cast<std::int64_t>(overhead(counted_from, planned_));
            for (std::uint64_t group = counted_from; group + 1 < groups_; ++group)
                room_before_last_ += room(group);
        }
        return true;
    }

    /// Moving blocks can split extents, so that extent trees grow: a 500th of what is cut off, but no more than
    /// one tree block an inode, or as many as single-block extents would fill.
    std::uint64_t extent_tree_reserve(std::uint64_t size) const {
        const std::uint64_t extents_per_block = fs_->blocksize / sizeof(ext3_extent) - 1;
        return std::min((blocks_ - size) / 500, std::max(divide_up(data_, extents_per_block), inodes_));
    }

    ext2_filsys fs_;
    std::uint64_t blocks_;
    std::uint64_t per_group_; ///< blocks
    std::uint64_t group_count_;
    std::uint64_t inodes_; ///< in use
    std::uint64_t data_;   ///< blocks in use that are not a group's metadata
    std::uint64_t flex_size_ = 0;
    std::uint64_t groups_ = 0;           ///< that stay
    std::uint64_t planned_ = 0;          ///< groups whose metadata is counted
    std::uint64_t room_before_last_ = 0; ///< blocks for data in the groups before the last
};

} // namespace

ResizeObstacle grow_obstacle(ext2_filsys filesystem) {
    const ext2_super_block* super = filesystem->super;
    if ((super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_READONLY) != 0)
        return {Reason::feature_not_supported, "read-only"};
    if ((super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS) != 0)
        return {Reason::feature_not_supported, "shared_blocks"};
    if ((super->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_BIGALLOC) != 0)
        return {Reason::feature_not_supported, "bigalloc"}; // only by force, "not fully tested"
    return {};
}

ResizeObstacle shrink_obstacle(ext2_filsys filesystem) {
    if (const ResizeObstacle obstacle = grow_obstacle(filesystem); obstacle.reason != Reason::none)
        return obstacle;
    const ext2_super_block* super = filesystem->super;
    if ((super->s_feature_compat & EXT4_FEATURE_COMPAT_STABLE_INODES) != 0)
        return {Reason::filesystem_cannot_shrink, "stable_inodes"};
    // resize2fs 1.47 was seen to run out of blocks half-way, or to leave errors, when it moves the last backup
    // superblock of these without the slack that flex_bg brings.
    if ((super->s_feature_compat & EXT4_FEATURE_COMPAT_SPARSE_SUPER2) != 0 &&
        (super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_FLEX_BG) == 0)
        return {Reason::filesystem_cannot_shrink, "sparse_super2 without flex_bg"};
    return {};
}

MinimumSize compute_minimum_size(ext2_filsys filesystem, const BlockDevice& device) {
    const std::uint64_t size = ext2fs_blocks_count(filesystem->super) * filesystem->blocksize;
    if (const ResizeObstacle obstacle = shrink_obstacle(filesystem); obstacle.reason != Reason::none)
        return {size, Reason::filesystem_cannot_shrink,
                fmt::format("resize2fs does not safely shrink a file system with {}", obstacle.feature)};
    ShrinkModel model(filesystem, device);
    const std::uint64_t minimum = model.minimum() * filesystem->blocksize;
    if (minimum == size)
        return {size, Reason::filesystem_full_to_size,
                fmt::format("its {} blocks of data and their metadata need all of it, as resize2fs estimates",
                            model.data())};
    return {minimum, Reason::used_blocks,
            fmt::format("{} blocks of data and the metadata of {} groups need it, as resize2fs estimates",
                        model.data(), model.groups())};
}

} // namespace disktool::ext4
