// SPDX-License-Identifier: LGPL-2.1-or-later
// Is what lies on disk all there is to know, or does a journal, a crash or somebody else stand in between?
#pragma once

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// Reads at most one block (multiple-mount protection). Throws damage when that block is not one.
///
/// Inodes on the orphan list (deleted while open, then a clean remount or a freeze) do not make a file system
/// dirty here: their blocks are still marked as used, so the free map holds; the next mount frees them.
FilesystemState read_state(ext2_filsys filesystem, BlockDevice& device);

} // namespace disktool::ext4
