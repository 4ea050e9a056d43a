// SPDX-License-Identifier: LGPL-2.1-or-later
// Which processes use what is mounted somewhere: by their working and root folders, programs, open files and
// mapped files, as fuser(1) -m.
#pragma once

#include "mount_table.h"

#include <string>
#include <vector>

namespace disktool::ploop::cli {

struct MountUser {
    int pid = 0;
    std::string program;
    std::string how; ///< "working folder", "open file", ...
};

/// As far as we may look; none of our own process. Never waits for a file system that does not answer.
std::vector<MountUser> mount_users(const MountPoint& point);

} // namespace disktool::ploop::cli
