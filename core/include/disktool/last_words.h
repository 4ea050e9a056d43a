// SPDX-License-Identifier: LGPL-2.1-or-later
// Why a program failed, out of all that it printed.
#pragma once

#include <disktool/api.h>
#include <disktool/subprocess.h>

#include <cstddef>
#include <string>

namespace disktool {

/// The last `statements` of what it said, errors after output, in one line. A statement is a line with the
/// indented ones that go on with it: e2fsck ends with a remark that says nothing without the line before it.
/// Empty: it said nothing.
DISKTOOL_API std::string last_words(const CommandResult& result, std::size_t statements = 1);

} // namespace disktool
