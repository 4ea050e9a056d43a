// SPDX-License-Identifier: LGPL-2.1-or-later
// Starting the process of a device (libexec/disktool), and what a process in the background tells until it is
// ready.
#pragma once

#include "block/host_descriptor.h"
#include "device/control.h"
#include "device/device_state.h"

#include <functional>
#include <string>

namespace disktool::cli {

struct ReadyListener {
    std::function<void(const std::string&)> say = [](const std::string&) {};
    std::function<void(const std::string&)> warn = [](const std::string&) {};
    CancelToken* cancel = nullptr;
};

/// Both ends of a pipe (a pair of sockets), closed on exec.
struct Pipe {
    Pipe(); ///< throws SystemError
    Descriptor reader, writer;

    /// The writing process cannot write any more from now on; waits until it has closed its end, for a while.
    void refuse() const;
};

/// JSON objects, one a line: passes on the lines ("say", "warning"), and gives the last object: {"ok": ...}.
/// Throws ControlError for the error that it tells instead; Error(program_missing) where the process ended
/// without a word; Error(interrupted) when cancelled. `what`: for messages, "the process of the device".
ControlMessage hear_until_ready(int pipe, const std::string& what, const ReadyListener& listener);

/// Starts libexec/disktool/PROGRAM with that configuration (docs/ploop-devices.md; its version is put in here).
/// `number`: the device's, or null: the process takes the lowest that is free. Returns when the device is
/// there, with its partitions. Throws as hear_until_ready(), when what there was of it has been taken away
/// again.
DeviceState start_device_process(const std::string& program, ControlMessage config, const DeviceNumber* number,
                                 const ReadyListener& listener);

} // namespace disktool::cli
