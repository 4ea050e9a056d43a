// SPDX-License-Identifier: LGPL-2.1-or-later
// The free space of the whole file system.
#pragma once

#include "groups.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <vector>

namespace disktool::xfs {

/// In bytes of the device, of a file system whose log is clean. Blocks in an AGFL are not among them: they hold
/// nothing, but the trees may use them without telling anyone. Throws damage, also where something is called
/// free that is known to be in use: the log, the trees' blocks, the AGFL's, the root directory.
ExtentSet free_map(BlockDevice& device, const Superblock& super, const std::vector<Group>& groups);

} // namespace disktool::xfs
