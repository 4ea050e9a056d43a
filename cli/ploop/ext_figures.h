// SPDX-License-Identifier: LGPL-2.1-or-later
// ext2, ext3 and ext4 as the kernel's statfs counts them.
#pragma once

#include "filesystem_figures.h"

#include <disktool/block_device.h>

namespace disktool::ploop::cli {

/// Of a file system that the plugin has opened, so that its superblock is sound. The kernel's default (bsddf):
/// blocks of superblocks, descriptors, bitmaps, inode tables and the journal do not count. Free ones are summed
/// over the groups, since the superblock's own sum is brought up to date only at umount.
FilesystemFigures ext_figures(BlockDevice& device);

} // namespace disktool::ploop::cli
