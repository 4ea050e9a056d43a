// SPDX-License-Identifier: LGPL-2.1-or-later
// Which clusters of a running image lie below the balloon of its file system.
#pragma once

#include "balloon_file.h"
#include "running_filesystem.h"

#include <disktool/range.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace disktool::ploop::cli {

/// How many clusters of the top image are stored of which the balloon covers all. None: the file system does
/// not tell where the balloon lies on its device (btrfs). The device's cache is written out first.
std::optional<std::uint64_t> stored_below_balloon(const RunningFilesystem& filesystem,
                                                  const RunningImage& image, const BalloonFile& balloon);

/// Of an image file as it is now, whoever writes to it meanwhile: how many of the clusters that lie wholly in
/// these bytes of the disk it stores. `ranges`: any order.
std::uint64_t stored_clusters(File& image, const std::vector<Range>& ranges);

} // namespace disktool::ploop::cli
