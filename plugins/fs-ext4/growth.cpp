// SPDX-License-Identifier: LGPL-2.1-or-later
#include "growth.h"

#include <disktool/size.h>

#include <algorithm>
#include <limits>

namespace disktool::ext4 {

namespace {

/// What a last group must have beside its tables to be worth having.
constexpr std::uint64_t least_for_data = 50;

/// Blocks of a group's own, if it is the last of so many.
std::uint64_t tables_of_last(ext2_filsys filesystem, std::uint64_t groups) {
    const ext2_super_block* super = filesystem->super;
    std::uint64_t blocks = 2 + std::uint64_t{filesystem->inode_blocks_per_group};
    if (ext2fs_bg_has_super(filesystem, static_cast<dgrp_t>(groups - 1)) != 0) {
        const std::uint64_t descriptors =
            divide_up(groups, std::max<std::uint64_t>(EXT2_DESC_PER_BLOCK(filesystem->super), 1));
        blocks += 1 + descriptors + super->s_reserved_gdt_blocks;
    }
    return blocks;
}

} // namespace

std::uint64_t grown_size(ext2_filsys filesystem, std::uint64_t device_size) {
    const ext2_super_block* super = filesystem->super;
    const std::uint64_t unit = filesystem->blocksize, now = ext2fs_blocks_count(filesystem->super);
    const std::uint64_t first = super->s_first_data_block, group = super->s_blocks_per_group;
    std::uint64_t blocks = device_size / unit;
    if (!ext2fs_has_feature_64bit(filesystem->super)) {
        blocks = std::min<std::uint64_t>(blocks, std::numeric_limits<std::uint32_t>::max());
    }
    if (blocks <= now || group == 0) {
        return now * unit;
    }
    const std::uint64_t groups = divide_up(blocks - first, group);
    const std::uint64_t last = (blocks - first) % group;
    if (groups > std::numeric_limits<dgrp_t>::max()) {
        return now * unit;
    }
    if (groups > 1 && last != 0 && last < tables_of_last(filesystem, groups) + least_for_data) {
        blocks -= last;
    }
    return std::max(blocks, now) * unit;
}

} // namespace disktool::ext4
