// SPDX-License-Identifier: LGPL-2.1-or-later
// What QEMU's words mean to us.
#pragma once

#include <disktool/doors.h>
#include <disktool/error.h>

#include <string>
#include <string_view>

namespace disktool {

/// The error of a QEMU program that ended with `words` on its standard error. `action` begins the sentence:
/// "Cannot resize". The code is locked (with the holders, as far as /proc shows them), no_space or failure.
Error qemu_error(FileDoor& files, std::string_view action, const std::string& path, const std::string& words);

/// The door's own error for a program that is not there, with the package that has it.
Error qemu_utils_missing(const Error& error);

} // namespace disktool
