// SPDX-License-Identifier: LGPL-2.1-or-later
// What a process in the background tells until it is ready, in this program's words and exit codes.
#pragma once

#include "common/device_process.h"
#include "options.h"

#include <string>

namespace disktool::ploop::cli {

using disktool::cli::Pipe;

/// As disktool::cli::hear_until_ready(). Throws PloopError; Error(interrupted) when cancelled.
ControlMessage hear_until_ready(const Options& options, int pipe, const std::string& what);
/// As disktool::cli::start_device_process(). Throws the same.
DeviceState start_device_process(const Options& options, ControlMessage config, const DeviceNumber* number);

} // namespace disktool::ploop::cli
