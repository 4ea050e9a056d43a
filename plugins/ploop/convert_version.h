// SPDX-License-Identifier: LGPL-2.1-or-later
// An interrupted "convert -v": some images of the chain have the new version, the others the old one.
#pragma once

#include "left_over.h"
#include "operations.h"

namespace disktool::ploop {

/// Gives all of them the version that `job` names. What stands in the way is said, not thrown: a chain of both
/// versions holds the same disk.
void finish_version(PloopDisk& disk, const DiskJob& job);

} // namespace disktool::ploop
