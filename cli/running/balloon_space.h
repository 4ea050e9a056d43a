// SPDX-License-Identifier: LGPL-2.1-or-later
// How large the balloon of a mounted file system must be, and can be.
#pragma once

#include "running_filesystem.h"

#include <cstdint>
#include <optional>

namespace disktool::ploop::cli {

/// Of a disk so many are not for the file system: the original counts so for the partition table and what lies
/// around.
constexpr std::uint64_t clusters_around = 4;

/// Bytes.
struct BalloonSpace {
    std::uint64_t balloon = 0; ///< its size now
    std::uint64_t size = 0;    ///< of the file system
    std::uint64_t tables = 0;  ///< of it, taken by inode tables: a smaller file system has fewer
    std::uint64_t free = 0;    ///< what a balloon could still get

    /// The balloon that leaves as much room as a disk of `wanted` bytes had.
    std::uint64_t for_disk(std::uint64_t wanted, std::uint64_t cluster) const;
    /// The smallest such disk; whole clusters. One cluster stays free for what a large file needs besides.
    std::uint64_t smallest_disk(std::uint64_t cluster) const;
};

/// Of one that is mounted.
BalloonSpace balloon_space(const RunningFilesystem& filesystem);

} // namespace disktool::ploop::cli
