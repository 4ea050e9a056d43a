// SPDX-License-Identifier: LGPL-2.1-or-later
// Errors that carry the exit code which scripts know from the original.
#pragma once

#include <disktool/error.h>

#include <string>

namespace disktool::ploop {

/// The man page's table, by what scripts see each number for.
enum class Exit : int {
    ok = 0,
    no_memory_or_failure = 1,
    device_open = 2,
    device_ioctl = 3,
    image_open = 4,
    no_memory = 5,
    read = 6,
    write = 7,
    check_header = 7, ///< the header cannot be put right: a kind of write
    fatal_check = 11,
    stop_command = 12,
    bad_marker = 13,
    still_changing = 14,
    stat = 15,
    sync = 16,
    converting = 17,
    busy = 17, ///< another operation is in progress
    lock_call = 18,
    truncate = 19,
    allocate = 20,
    mount = 21,
    unmount = 22,
    bad_descriptor = 23,
    make_filesystem = 24,
    resize_filesystem = 26,
    make_directory = 27,
    rename = 28,
    change_table = 33,
    remove = 35,
    make_node = 36,
    dirty = 37,
    invalid_parameter = 38,
    no_descriptor = 39,
    not_mounted = 40,
    fsck = 41,
    no_snapshot = 43,
    no_tracking = 44,
};

class PloopError : public Error {
  public:
    PloopError(Exit exit, ErrorCode code, const std::string& sentence, Reason reason = Reason::none)
        : Error(code, sentence, reason), exit_(exit) {}
    Exit exit() const { return exit_; }

  private:
    Exit exit_;
};

/// For an error that carries none: of a failed system call, the number of that; a damaged partition table
/// → change_table; else not_found → image_open, locked → bad_descriptor (the original's for its
/// lock), no_space → write, damaged → image_open, size_impossible and usage → invalid_parameter, else 1.
int exit_code_of(const Error& error);

} // namespace disktool::ploop
