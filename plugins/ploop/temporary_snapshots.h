// SPDX-License-Identifier: LGPL-2.1-or-later
// Snapshots that were made for a while, of which a mount rids the disk.
#pragma once

#include "operations.h"

namespace disktool::ploop {

/// Of a disk at rest, opened for writing, whose images are in order: those temporary snapshots go that have one
/// snapshot on them, or none. What a device reads stays, and so does all after a failure that has changed
/// nothing, which is said; any other is thrown, and the next mount finishes what was begun. True: the chain is
/// another one now.
bool remove_temporary_snapshots(PloopDisk& disk);

} // namespace disktool::ploop
