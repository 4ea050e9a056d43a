// SPDX-License-Identifier: LGPL-2.1-or-later
// What this process gives up before it becomes the program.
#pragma once

#include "report.h"
#include "request.h"

namespace disktool::sandbox {

/// User, capabilities, new privileges, limits. What fails is reported.
void confine(const Request& request, const Report& report);

/// From here on system calls that a checker of file systems never needs fail: mounting, tracing, modules, keys,
/// sockets, namespaces, ... New privileges must have been given up.
void filter_system_calls(const Report& report);

} // namespace disktool::sandbox
