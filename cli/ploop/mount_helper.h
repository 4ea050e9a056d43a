// SPDX-License-Identifier: LGPL-2.1-or-later
// mount.ploop and umount.ploop: what mount(8) and umount(8) call for the type "ploop".
#pragma once

#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Is the program's name that of a helper?
bool is_mount_helper(const std::string& program);
/// Gives the exit code of mount(8): 0, 1 for wrong words, 32 for what failed. `run`: runs ploop's own words and
/// gives their exit code.
int run_mount_helper(const std::string& program, const std::vector<std::string>& words,
                     int (*run)(std::vector<std::string> words));

} // namespace disktool::ploop::cli
