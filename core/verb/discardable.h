// SPDX-License-Identifier: LGPL-2.1-or-later
// Which bytes of a disk are of no use to anyone.
#pragma once

#include "verb/survey.h"

#include <disktool/extents.h>

#include <string>
#include <vector>

namespace disktool {

struct Discardable {
    ExtentSet bytes;
    std::uint64_t in_filesystems = 0; ///< of them, free space of file systems
    std::uint64_t in_gaps = 0;        ///< of them, outside every partition
    std::vector<std::string> notes;   ///< what was left alone, and why
};

/// The free space of every file system whose free map can be trusted, and the gaps between partitions. Kept
/// though they are in no partition, since boot loaders and RAID or LDM metadata live there without being
/// recorded anywhere: what lies before the first partition (up to 32 MiB), 1 MiB around each piece of the
/// table, the last MiB of the disk; and all gaps of a disk with Windows dynamic volumes (LDM). A content with a
/// `problem` is left alone.
DISKTOOL_API Discardable find_discardable(DiskSurvey& survey, std::uint64_t disk_size);

/// The outside-of-partitions half of it.
DISKTOOL_API ExtentSet find_gaps(const PartitionTable& table, std::uint64_t disk_size);

} // namespace disktool
