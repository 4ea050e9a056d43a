// SPDX-License-Identifier: GPL-2.0-or-later
// What ntfsresize makes of a size, and which sizes it refuses.
#pragma once

#include "volume.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::ntfs {

/// Why ntfsresize would refuse it at any size; none where it would not. `sentence` has the way out.
struct ResizeObstacle {
    Reason reason = Reason::none;
    std::string sentence;
};
/// For a volume of this version. Throws damaged.
ResizeObstacle resize_obstacle(const Volume& volume, unsigned major_version, unsigned minor_version);

/// Facts of one volume that bound its sizes, all in clusters.
struct ShrinkBounds {
    std::uint32_t cluster_size = 0; ///< bytes
    std::uint64_t clusters = 0;
    std::uint64_t used = 0;
    /// The MFT's mirror, which is not cut in two: a volume must not end inside it.
    std::uint64_t mirror = 0;
    std::uint64_t mirror_end = 0;
    bool mirror_movable = true; ///< in one run

    /// For a size of a partition in bytes, as ntfsresize reckons: whole clusters, one of them left out for the
    /// backup boot sector; none where it cannot be that small.
    std::optional<std::uint64_t> clusters_for(std::uint64_t size) const;
};
ShrinkBounds shrink_bounds(const Volume& volume, const ExtentSet& free);

/// `size`: bytes that the file system spans now, which the minimum never exceeds.
MinimumSize compute_minimum_size(const ShrinkBounds& bounds, std::uint64_t size);

} // namespace disktool::ntfs
