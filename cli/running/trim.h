// SPDX-License-Identifier: LGPL-2.1-or-later
// Free space of a mounted file system, given back to the device below it.
#pragma once

#include <disktool/progress.h>

#include <cstdint>
#include <functional>
#include <string>

namespace disktool::ploop::cli {

struct TrimRequest {
    std::string root;           ///< where it is mounted
    std::string type;           ///< "ext4"
    std::uint64_t unit = 0;     ///< bytes of a cluster: the smallest piece of which the device frees anything
    std::uint64_t smallest = 0; ///< bytes; pieces below that are left alone
    std::uint64_t enough = 0;   ///< bytes that the caller is content with, for how often it is asked; 0: all
};

/// Called between the pieces, with the bytes of the file system that were looked at, of all that will be: true
/// ends it.
using TrimWatch = std::function<bool(std::uint64_t done, std::uint64_t total)>;

/// FITRIM in rounds: the large free pieces first, from 32 clusters on, then those half as large, down to
/// `smallest`; so that who is content with a part gets it from few places. Returns the bytes that the file
/// system named free (those it names twice count twice). Throws Error(interrupted) when cancelled; PloopError
/// where the file system or the device cannot do it.
std::uint64_t trim_filesystem(const TrimRequest& request, CancelToken& cancel, const TrimWatch& watch);

} // namespace disktool::ploop::cli
