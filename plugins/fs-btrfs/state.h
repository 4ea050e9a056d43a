// SPDX-License-Identifier: LGPL-2.1-or-later
// Is what lies on disk all there is to know?
#pragma once

#include "superblock.h"

#include <disktool/filesystem.h>

namespace disktool::btrfs {

/// From the superblocks alone. A crash as such leaves btrfs clean: the last commit is whole, and what it calls
/// free nobody reads. Not so with a log tree (what fsync wrote since that commit): no extent tree knows its
/// blocks.
FilesystemState read_state(const Superblock& super, const Mirrors& mirrors);

} // namespace disktool::btrfs
