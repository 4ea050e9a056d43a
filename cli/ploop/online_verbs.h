// SPDX-License-Identifier: LGPL-2.1-or-later
// Commands on a disk that runs: the counterparts of disk_verbs.h. They give the exit code; throw Error. Those
// that prl_disk_tool has, too, are in running_verbs.h.
#pragma once

#include "disk_verbs.h"
#include "running_devices.h"
#include "running_verbs.h"

#include <cstdint>

namespace disktool::ploop::cli {

// The actions of `ploop balloon` besides discard.
int balloon_show(const Options& options, RunningFilesystem& filesystem);
int balloon_status(const Options& options, RunningFilesystem& filesystem);
int balloon_change(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors);
/// What an interrupted run of the original leaves in its driver, and ours nowhere: nothing is ever to be done.
int balloon_clear(const Options& options, RunningFilesystem& filesystem);
int balloon_complete(const Options& options, RunningFilesystem& filesystem);
/// Does the image still store what only the balloon covers? With `repair` that is given back.
int balloon_check(const Options& options, RunningFilesystem& filesystem, bool repair);

} // namespace disktool::ploop::cli
