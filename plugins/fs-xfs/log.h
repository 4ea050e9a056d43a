// SPDX-License-Identifier: LGPL-2.1-or-later
// The log (journal): was the last thing written to it that the file system was unmounted?
#pragma once

#include "superblock.h"

#include <disktool/block_device.h>

#include <string>

namespace disktool::xfs {

enum class LogCondition {
    clean,   ///< ends with an unmount record, or was never used
    dirty,   ///< holds changes that may not be on disk yet; mounting replays them
    damaged, ///< no log that the kernel would replay
};

struct LogVerdict {
    LogCondition condition = LogCondition::damaged;
    std::string what; ///< of a damaged one, half a sentence: "its log (at byte 4096) ..."
};

/// Of an internal log, whose place Superblock::defect() has passed. Reads some 20 blocks and about 2 MiB, not
/// the whole log. When in doubt, it is dirty: that costs a mount, the opposite could cost data.
LogVerdict read_log(BlockDevice& device, const Superblock& super);

} // namespace disktool::xfs
