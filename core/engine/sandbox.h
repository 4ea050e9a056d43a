// SPDX-License-Identifier: LGPL-2.1-or-later
// Programs of the host that read hostile file systems run in here.
#pragma once

#include <disktool/api.h>
#include <disktool/subprocess.h>

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// A program in it sees the host's system folders read-only, an empty /tmp of its own, a few devices, and of
/// all other files only those that it is given. It has no network, sees no other process, has no capabilities,
/// cannot get any, and cannot make many system calls at all (mounting, tracing, sockets, ...). Where we are
/// root it is another user, without rights to anything but its files.
///
/// Made by bubblewrap where that is installed and works, else by our own helper; both end in the helper
/// (libexec/disktool/sandbox), which gives up rights and becomes the program. What a host does not allow is
/// logged (info), once; the program runs all the same. Threads: one at a time.
class DISKTOOL_API Sandbox {
  public:
    enum class Kind { automatic, bubblewrap, own };

    explicit Sandbox(ProcessDoor& processes, Kind kind = Kind::automatic);

    /// Who owns the files that are to be written in it: no user of this host where we are root, else ourselves.
    static uid_t user();
    static gid_t group();

    /// `files`: absolute paths that may be read and written; they have the same names in there. The command's
    /// program is an absolute path; its environment is what the command adds, and a few usual ones.
    /// Output, exit status, time-out and cancellation are as without a sandbox. Throws program_missing where
    /// the program cannot be started.
    CommandResult run(const Command& command, const std::vector<std::string>& files);

    /// The protections that the host did not allow in the last run, with the reason.
    const std::vector<std::string>& missing() const { return missing_; }
    bool used_bubblewrap() const { return used_bubblewrap_; }

  private:
    struct Outcome;
    Outcome try_run(const Command& command, const std::vector<std::string>& files, bool bubblewrap);

    ProcessDoor& processes_;
    Kind kind_;
    bool bubblewrap_works_ = true; ///< as far as we know
    bool used_bubblewrap_ = false;
    std::vector<std::string> missing_;
    std::vector<std::string> told_; ///< of missing_, what was logged
};

} // namespace disktool
