// SPDX-License-Identifier: LGPL-2.1-or-later
// The one exception of this project, and what scripts learn from it: a code by name and an exit code.
#pragma once

#include <disktool/api.h>
#include <disktool/reason.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace disktool {

/// What kind of trouble. The numbers are the exit codes of `prl_disk_tool` and are promised to scripts.
enum class ErrorCode : int {
    failure = 1,         ///< anything without a code of its own
    usage = 2,           ///< the command line is wrong
    not_found = 3,       ///< a file is missing or cannot be read
    locked = 4,          ///< someone else has the image open
    no_space = 5,        ///< the host has not enough room
    unsupported = 6,     ///< a format, feature, file system or table we do not handle
    damaged = 7,         ///< something is damaged, or dirty and not safe to interpret
    size_impossible = 8, ///< the size asked for cannot be
    program_missing = 9, ///< a needed program, kernel or device is missing or failed
    recovery = 10,       ///< an interrupted job was found that could not be recovered
    interrupted = 130,   ///< SIGINT or SIGTERM
};

/// The code's name as JSON shows it in `error.code`: "locked", "no_space", ...
DISKTOOL_API std::string_view name(ErrorCode code);

/// `what()` is a whole sentence that a user can act on: what, where (path, offset), why, the way out.
class DISKTOOL_API Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& sentence, Reason reason = Reason::none)
        : std::runtime_error(sentence), code_(code), reason_(reason) {}
    ~Error() override;

    ErrorCode code() const { return code_; }
    Reason reason() const { return reason_; }

  private:
    ErrorCode code_;
    Reason reason_;
};

/// Which kind of call failed, for programs that tell it by their exit code.
enum class SystemCall {
    other,
    open,
    create, ///< of a file, also by link(2)
    read,
    write,
    stat, ///< stat(2) and statfs(2) of all kinds
    sync,
    lock,
    truncate,
    allocate, ///< fallocate(2), also to punch and to zero
    make_directory,
    make_node,
    rename,
    remove,
};

/// The error of a failed system call: "<action> <path>: <strerror>". The code follows the errno value: ENOENT,
/// EACCES, EPERM, EROFS, ENOTDIR, EISDIR, ELOOP → not_found; ENOSPC, EDQUOT → no_space; the rest → failure.
class DISKTOOL_API SystemError : public Error {
  public:
    SystemError(std::string_view action, std::string_view path, int error_number,
                SystemCall call = SystemCall::other);
    ~SystemError() override;

    int error_number() const { return error_number_; }
    SystemCall call() const { return call_; }

  private:
    int error_number_;
    SystemCall call_;
};

} // namespace disktool
