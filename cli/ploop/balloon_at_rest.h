// SPDX-License-Identifier: LGPL-2.1-or-later
// The balloon in a file system that is not mounted.
#pragma once

#include <disktool/block_device.h>
#include <disktool/plan.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace disktool::ploop::cli {

struct BalloonAtRest {
    std::uint64_t allocated = 0; ///< bytes
    std::uint32_t flags = 0;     ///< its attributes (FS_IMMUTABLE_FL, ...)
};

/// Of an ext file system; none: it has no balloon, or none that is inflated.
std::optional<BalloonAtRest> balloon_at_rest(BlockDevice& filesystem);

/// Empties it, on the plan's working disk, with debugfs, and has that checked.
std::unique_ptr<Step> deflate_at_rest_step(int partition, const BalloonAtRest& balloon);

} // namespace disktool::ploop::cli
