// SPDX-License-Identifier: LGPL-2.1-or-later
// What a process in the background tells until it is ready: JSON objects, one a line, on a pipe.
#pragma once

#include "block/host_descriptor.h"
#include "device/control.h"
#include "options.h"

#include <array>
#include <string>

namespace disktool::ploop::cli {

/// Both ends of a pipe, closed on exec.
struct Pipe {
    Pipe(); ///< throws SystemError
    disktool::Descriptor reader, writer;
};

/// Says the lines ("say", "warning"), and gives the last object: {"ok": ...}. Throws the error that it tells
/// instead, as PloopError; PloopError(device_open) where the process ended without a word; Error(interrupted)
/// when cancelled. `what`: for messages, "the process of the device".
ControlMessage hear_until_ready(const Options& options, int pipe, const std::string& what);

} // namespace disktool::ploop::cli
