// SPDX-License-Identifier: LGPL-2.1-or-later
// A merge into an existing image that did not come to its end is brought there.
#pragma once

#include "left_over.h"

namespace disktool::ploop {

/// Where `job` is of such a merge and the descriptor is still the old one: moves what is left to be moved, and
/// stores the descriptor. A cluster that was moved before is moved again, since nothing tells which were, and
/// comes to the same. What stands in the way (no room, an image that is missing or damaged) is said, and leaves
/// the disk as it is. Throws where the descriptor cannot be stored, where an image is in use by somebody (exit
/// 17), and at a cancel: the job stays, for the next run.
void finish_merge(PloopDisk& disk, const DiskJob& job);

} // namespace disktool::ploop
