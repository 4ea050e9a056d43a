// SPDX-License-Identifier: LGPL-2.1-or-later
// Running the independent tools that tests compare with: qemu-img, e2fsck, sgdisk, ...
#pragma once

#include <disktool/subprocess.h>

#include <string>
#include <vector>

namespace disktool::test {

/// Standard output of the command; std::runtime_error with all that it wrote when it fails.
std::string run_tool(std::vector<std::string> argv);
int exit_status_of(std::vector<std::string> argv);
/// Both streams and the exit status, whatever it is.
CommandResult result_of(std::vector<std::string> argv);

/// Has somebody asked for all that the tests can try, which takes a multiple of the time (docs/crash-tests.md)?
bool long_form();

} // namespace disktool::test
