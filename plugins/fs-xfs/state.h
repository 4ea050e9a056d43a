// SPDX-License-Identifier: LGPL-2.1-or-later
// Is what lies on disk all there is to know?
#pragma once

#include "superblock.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

namespace disktool::xfs {

/// See read_log() for what it reads. Free space that belongs to inodes which were deleted while open is still
/// marked as used; so those do not make a file system dirty.
FilesystemState read_state(BlockDevice& device, const Superblock& super);

} // namespace disktool::xfs
