// SPDX-License-Identifier: LGPL-2.1-or-later
// The free space, from the block bitmaps.
#pragma once

#include <disktool/block_device.h>
#include <disktool/extents.h>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// Exactly the free bytes. Every bitmap is verified three ways: its checksum, the count in its group's
/// descriptor, and that nothing of `metadata` (all of it, as checked_metadata gives) is said to be free; throws
/// damage otherwise. Bitmaps are read in runs of up to 1 MiB, so memory does not grow with the file system.
ExtentSet free_map(ext2_filsys filesystem, BlockDevice& device, const ExtentSet& metadata);

} // namespace disktool::ext4
