// SPDX-License-Identifier: LGPL-2.1-or-later
// The words of mount.ploop and umount.ploop, made into those of ploop.
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
/// ploop.fstype=, ploop.backend=, ploop.fsck; all others are the file system's. Throws UsageError;
/// HelpRequested for --help.
HelperCall mount_call(const std::vector<std::string>& words);
HelperCall umount_call(const std::vector<std::string>& words);
/// Of one of the two, in a line without its end.
std::string helper_usage(const std::string& program);

} // namespace disktool::ploop::cli
