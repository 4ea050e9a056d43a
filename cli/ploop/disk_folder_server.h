// SPDX-License-Identifier: LGPL-2.1-or-later
// The process in the background that serves a disk as files of a folder.
#pragma once

#include "block/host_descriptor.h"
#include "running_disk.h"

#include <string>

namespace disktool::ploop::cli {

/// What the disk is called: its descriptor, or its top image.
const std::string& shown_name(const RunningSource& source);

/// In a child of ours. Until the folder is unmounted, or SIGTERM comes. `words`: JSON objects, a line each, as
/// the control protocol has them ("say", "warning", then one "ok" or "error"); it is closed after the last.
[[noreturn]] void serve_disk_folder(const RunningSource& source, const std::string& folder,
                                    disktool::Descriptor words);

} // namespace disktool::ploop::cli
