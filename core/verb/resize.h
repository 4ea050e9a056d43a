// SPDX-License-Identifier: LGPL-2.1-or-later
// resize: the virtual disk, the partition table with its end and, where asked, a partition with its content.
#pragma once

#include "verb/verb_context.h"

#include <disktool/plan.h>

#include <cstdint>

namespace disktool {

struct ResizeOptions {
    std::uint64_t new_size = 0;    ///< bytes
    bool resize_partition = false; ///< a partition and its content follow the disk
    int partition = 0;             ///< with resize_partition: which one; 0: the one that lies last
    /// Cut a disk on which nothing is known, and with it whatever lies in its tail.
    bool discard_tail = false;
};

struct ResizePlan {
    Plan plan;
    std::uint64_t old_size = 0; ///< bytes
    std::uint64_t new_size = 0; ///< bytes
};

/// An empty plan where there is nothing to do. Throws size_impossible for what would cut a partition or a file
/// system (naming the minimum), unsupported for internal snapshots and the like, damaged for a damaged table or
/// file system, no_space where the host has not the room that the work takes meanwhile, program_missing.
DISKTOOL_API ResizePlan plan_resize(VerbContext& context, const ResizeOptions& options);

} // namespace disktool
