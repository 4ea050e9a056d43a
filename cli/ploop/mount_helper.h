// SPDX-License-Identifier: LGPL-2.1-or-later
// mount.ploop and umount.ploop: what mount(8) and umount(8) call for the type "ploop".
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// What a helper's words come to, in ours.
struct HelperCall {
    std::vector<std::string> words;     ///< of ploop: the command first; empty: nothing is to be done
    std::string folder;                 ///< the mount point
    std::optional<std::string> remount; ///< other options for what is mounted there, instead of `words`
    std::string disk;                   ///< mount: what is to be mounted
    bool quiet = true;                  ///< without -v
};

/// `words`: without the program's name. Options of our own: ploop.uuid=, ploop.component=, ploop.device=,
/// ploop.fstype=, ploop.backend=, ploop.fsck; all others are the file system's. Throws UsageError.
HelperCall mount_call(const std::vector<std::string>& words);
HelperCall umount_call(const std::vector<std::string>& words);

/// Is the program's name that of a helper?
bool is_mount_helper(const std::string& program);
/// Gives the exit code of mount(8): 0, 1 for wrong words, 32 for what failed. `run`: runs ploop's own words and
/// gives their exit code.
int run_mount_helper(const std::string& program, const std::vector<std::string>& words,
                     int (*run)(std::vector<std::string> words));

} // namespace disktool::ploop::cli
