// SPDX-License-Identifier: LGPL-2.1-or-later
// What both front doors do to a disk that runs. They give the exit code; throw Error.
#pragma once

#include "running_filesystem.h"

#include <cstdint>

namespace disktool::ploop::cli {

/// Of `ploop balloon discard`; sizes in sectors, as given.
struct DiscardOptions {
    bool automount = false;
    bool defrag = false;
    bool stat = false;                   ///< only show the four sizes
    std::uint64_t to_free_sectors = 0;   ///< 0: as much as there is
    std::uint64_t min_block_sectors = 0; ///< 0: one cluster
};
/// `ploop resize -s`: larger: disk, partition and file system; smaller: of a mounted one the balloon, else the
/// file system. `sectors` is as given, not rounded.
int resize_running(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors);
/// `ploop resize -b`: the balloon as large as it can be.
int inflate_running(const Options& options, RunningFilesystem& filesystem);
/// `ploop balloon discard`.
int discard_running(const Options& options, RunningFilesystem& filesystem, const DiscardOptions& request);
/// All images down to the base become one; none where there is one already.
int merge_running(const Options& options, RunningFilesystem& filesystem);

} // namespace disktool::ploop::cli
