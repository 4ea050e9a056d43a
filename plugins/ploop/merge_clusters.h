// SPDX-License-Identifier: LGPL-2.1-or-later
// Moving the data of deltas into the one below them, or into a new one.
#pragma once

#include "delta.h"

#include <disktool/plan.h>

#include <cstdint>
#include <span>

namespace disktool::ploop {

struct MergeWork {
    std::uint64_t clusters = 0;     ///< to be moved: each once, the newest
    std::uint64_t new_clusters = 0; ///< of them, those that need a new place in the target
};

/// `newest_first`: what is to be moved. Only clusters below `limit` (the size of the disk) count.
MergeWork merge_work(std::span<const Delta* const> newest_first, const Delta* target, std::uint64_t limit);
/// All have one cluster size: else PloopError(fatal_check).
void require_one_cluster_size(std::span<const Delta* const> deltas);

/// Error(no_space) where the host has not enough room for the new clusters.
void require_room(const MergeWork& work, const Delta& target, FileDoor& files);

/// After begin(); not flushed when it returns. Stops at a cancel with Error(interrupted).
void move_clusters(std::span<const Delta* const> newest_first, Delta& target, std::uint64_t limit,
                   StepContext& context);

/// The whole move: looks for room, grows the target to `disk_sectors` where it is shorter, moves, cuts it where
/// it is longer, and closes it. On an error the target stays in use.
void merge_into(std::span<const Delta* const> newest_first, Delta& target, std::uint64_t disk_sectors,
                StepContext& context);

} // namespace disktool::ploop
