// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ext_figures.h"

// Of the ext4 plugin, whose code is linked in.
#include "groups.h"
#include "library_handle.h"

#include <algorithm>

namespace disktool::ploop::cli {

namespace {

/// Whole clusters, which are blocks where there is no bigalloc.
std::uint64_t to_clusters(ext2_filsys filesystem, std::uint64_t blocks) {
    return EXT2FS_NUM_B2C(filesystem, blocks);
}

/// Blocks of an internal journal.
std::uint64_t journal_blocks(ext2_filsys filesystem) {
    if (!ext2fs_has_feature_journal(filesystem->super) || filesystem->super->s_journal_inum == 0) {
        return 0;
    }
    ext2_inode inode{};
    if (ext2fs_read_inode(filesystem, filesystem->super->s_journal_inum, &inode) != 0) {
        return 0;
    }
    return EXT2_I_SIZE(&inode) / filesystem->blocksize;
}

/// In clusters. File systems that an older mke2fs has made and no newer kernel has mounted do not say it.
std::uint64_t overhead(ext2_filsys filesystem, BlockDevice& device, std::uint64_t most) {
    const std::uint64_t recorded = filesystem->super->s_overhead_clusters;
    if (recorded != 0 && recorded <= most) {
        return recorded;
    }
    const std::uint64_t tables = ext4::checked_metadata(filesystem, device).total() / filesystem->blocksize;
    return to_clusters(filesystem, filesystem->super->s_first_data_block + tables) +
           to_clusters(filesystem, journal_blocks(filesystem));
}

} // namespace

FilesystemFigures ext_figures(BlockDevice& device) {
    const ext4::LibraryHandle handle(device);
    ext2_filsys filesystem = handle.get();
    const std::uint64_t blocks = ext2fs_blocks_count(filesystem->super);
    const std::uint64_t clusters = to_clusters(filesystem, blocks);
    std::uint64_t free_clusters = 0;
    std::uint64_t free_inodes = 0;
    for (dgrp_t group = 0; group < filesystem->group_desc_count; ++group) {
        free_clusters += ext2fs_bg_free_blocks_count(filesystem, group);
        free_inodes += ext2fs_bg_free_inodes_count(filesystem, group);
    }
    FilesystemFigures figures;
    figures.block_size = filesystem->blocksize;
    figures.blocks = blocks - std::min(EXT2FS_C2B(filesystem, overhead(filesystem, device, clusters)), blocks);
    figures.free_blocks = std::min(EXT2FS_C2B(filesystem, free_clusters), figures.blocks);
    figures.inodes = filesystem->super->s_inodes_count;
    figures.free_inodes = std::min(free_inodes, figures.inodes);
    return figures;
}

} // namespace disktool::ploop::cli
