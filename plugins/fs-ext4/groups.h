// SPDX-License-Identifier: LGPL-2.1-or-later
// The block groups: where their metadata lies, checked before anything is believed of it.
#pragma once

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <cstdint>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// Blocks that group `group` holds for itself at fixed places: superblock and descriptors or their backups,
/// blocks kept for more descriptors. Not the bitmaps and inode tables, which flex_bg lets lie elsewhere.
struct GroupHead {
    std::uint64_t superblock = 0; ///< block number; meaningful when has_superblock
    bool has_superblock = false;
    std::uint64_t descriptors = 0;      ///< first block of the plain descriptors and the reserved ones
    std::uint64_t descriptor_count = 0; ///< blocks of them in this group
    std::uint64_t meta_descriptor = 0;  ///< the one block of a meta group's descriptors; 0: none here

    std::uint64_t blocks() const { return has_superblock + descriptor_count + (meta_descriptor != 0); }
};
GroupHead group_head(ext2_filsys filesystem, dgrp_t group);

/// Checks every group descriptor (checksum, places, counts; no two structures in one block) and that the groups
/// count as many free blocks as the superblock. Throws damage. Gives all metadata, in bytes.
ExtentSet checked_metadata(ext2_filsys filesystem, const BlockDevice& device);

} // namespace disktool::ext4
