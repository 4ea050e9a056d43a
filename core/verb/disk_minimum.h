// SPDX-License-Identifier: LGPL-2.1-or-later
// How small a disk can be made, for `resize --info` and for `resize` itself: what the one prints, the other
// keeps to.
#pragma once

#include "verb/survey.h"

#include <cstdint>
#include <optional>
#include <string>

namespace disktool {

struct DiskMinimum {
    std::uint64_t bytes = 0; ///< whole MiB, or the disk's present size; never above that
    Reason reason = Reason::last_partition_end;
    std::string because;
};

/// With every partition and file system as it is. For a disk on which nothing is known: its present size.
DISKTOOL_API DiskMinimum minimum_without_resize(const DiskSurvey& survey, std::uint64_t disk_size);

/// When the content `last`, which lies last on the disk, is made as small as it can be. None where it cannot be
/// made smaller at all, or nobody knows how small. Needs a survey with minimum sizes.
DISKTOOL_API std::optional<DiskMinimum> minimum_with_resize(const DiskSurvey& survey, const Content& last,
                                                            std::uint64_t disk_size);

/// Where a partition ends that is to reach the end of a disk of that size: bytes, whole MiB, room left for the
/// table. 0: there is none.
DISKTOOL_API std::uint64_t usable_end(const PartitionTable& table, std::uint64_t disk_size);

} // namespace disktool
