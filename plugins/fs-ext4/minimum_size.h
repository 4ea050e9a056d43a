// SPDX-License-Identifier: LGPL-2.1-or-later
// How small resize2fs would make it.
#pragma once

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// Why resize2fs would not shrink (grow) it; Reason::none where it would. `feature` names the obstacle.
struct ResizeObstacle {
    Reason reason = Reason::none;
    const char* feature = "";
};
ResizeObstacle shrink_obstacle(ext2_filsys filesystem);
ResizeObstacle grow_obstacle(ext2_filsys filesystem);

/// What `resize2fs -P` prints, in bytes: it refuses anything less. Reads nothing; for descriptors that
/// checked_metadata has passed. Throws damage when their counts cannot be.
MinimumSize compute_minimum_size(ext2_filsys filesystem, const BlockDevice& device);

} // namespace disktool::ext4
