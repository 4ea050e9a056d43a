// SPDX-License-Identifier: LGPL-2.1-or-later
// Which processes hold which locks on a file, from /proc/PID/fd and /proc/PID/fdinfo (proc(5)).
#pragma once

#include "image/locks.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace disktool {

/// One lock on an open file, as /proc/PID/fdinfo shows it.
struct HeldLock {
    bool whole_file = false; ///< flock; else a byte range
    bool exclusive = false;
    std::uint64_t first = 0;
    std::uint64_t last = 0; ///< inclusive
};

using LockFilter = std::function<bool(const HeldLock&)>;

/// The processes, other than ourselves, that hold a lock on the file that `matters`.
///
/// Files are compared by what /proc/PID/fd points to: the device numbers that the kernel prints beside a lock
/// are the file system's, which on btrfs and overlayfs are not those of stat(2).
std::vector<LockHolder> lock_holders(const FileStatus& file, const LockFilter& matters);

} // namespace disktool
