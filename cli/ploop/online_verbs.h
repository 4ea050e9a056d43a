// SPDX-License-Identifier: LGPL-2.1-or-later
// Commands on a disk that runs: the counterparts of disk_verbs.h. They give the exit code; throw Error.
#pragma once

#include "disk_verbs.h"
#include "options.h"
#include "running_filesystem.h"

#include <cstdint>

namespace disktool::ploop::cli {

/// `ploop resize -s`: larger: disk, partition and file system; smaller: of a mounted one the balloon, else the
/// file system. `sectors` is as given, not rounded.
int resize_running(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors);
/// `ploop resize -b`: the balloon as large as it can be.
int inflate_running(const Options& options, RunningFilesystem& filesystem);
/// `ploop balloon discard`.
int discard_running(const Options& options, RunningFilesystem& filesystem, const DiscardOptions& request);

// The other actions of `ploop balloon`.
int balloon_show(const Options& options, RunningFilesystem& filesystem);
int balloon_status(const Options& options, RunningFilesystem& filesystem);
int balloon_change(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors);
/// What an interrupted run of the original leaves in its driver, and ours nowhere: nothing is ever to be done.
int balloon_clear(const Options& options, RunningFilesystem& filesystem);
int balloon_complete(const Options& options, RunningFilesystem& filesystem);
/// Does the image still store what only the balloon covers? With `repair` that is given back.
int balloon_check(const Options& options, RunningFilesystem& filesystem, bool repair);

} // namespace disktool::ploop::cli
