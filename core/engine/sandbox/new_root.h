// SPDX-License-Identifier: LGPL-2.1-or-later
// A file tree that shows only what the program needs.
#pragma once

#include "report.h"
#include "request.h"

namespace disktool::sandbox {

/// In a mount namespace of our own: the new / is read-only and has the request's readable paths (read-only) and
/// writable files, a few devices, an empty /tmp, and /proc where there is a process namespace of our own. Where
/// the host does not let us, this is reported and the old / stays.
void make_root(const Request& request, bool with_proc, const Report& report);

} // namespace disktool::sandbox
