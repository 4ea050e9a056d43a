// SPDX-License-Identifier: LGPL-2.1-or-later
// Namespaces and a root of our own, where bubblewrap is not there to make them.
#pragma once

#include "report.h"
#include "request.h"

namespace disktool::sandbox {

/// Moves this process into new namespaces (mounts, network, processes, IPC, host name; as a user also users),
/// as far as the host allows; what it does not allow is reported. Returns in the process that goes on, which is
/// not the one that called where there is a new process namespace: that one waits for the other, and ends as it
/// ends.
void isolate(const Request& request, const Report& report);

} // namespace disktool::sandbox
