// SPDX-License-Identifier: LGPL-2.1-or-later
// Giving back to the host what an image file does not need.
#pragma once

#include <disktool/extents.h>
#include <disktool/file.h>

#include <cstdint>
#include <functional>

namespace disktool::qcow2 {

/// Space of a file that nothing refers to. Bytes of the file.
struct Unneeded {
    ExtentSet held;        ///< what the host is known to hold of it: the measure of the work
    ExtentSet holes;       ///< what is to be punched, in whole blocks of the host; contains `held`
    std::uint64_t end = 0; ///< where the last needed cluster ends; may lie beyond the end of the file
};

/// Punches in pieces, calls `between` before each (it may throw to stop: that is always safe), `done` with the
/// bytes given back after each; cuts the file at the end. Not synced.
void give_back(File& file, std::uint64_t file_size, const Unneeded& unneeded,
               const std::function<void()>& between, const std::function<void(std::uint64_t)>& done);

} // namespace disktool::qcow2
