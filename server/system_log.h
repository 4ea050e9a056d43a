// SPDX-License-Identifier: LGPL-2.1-or-later
// The log of a process that has no terminal.
#pragma once

#include <string>

namespace disktool::server {

/// From now on the log goes to the system's (/dev/log), as far as it can be taken at once: the log may lie on
/// the very device that we serve, so it is never waited for. `name`: of the program.
void log_to_system(const std::string& name);
/// To standard error.
void log_to_terminal(const std::string& name);

} // namespace disktool::server
