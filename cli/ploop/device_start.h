// SPDX-License-Identifier: LGPL-2.1-or-later
// Starting the process of a device: libexec/disktool/ploop-device.
#pragma once

#include "device/device_state.h"
#include "options.h"
#include "running_disk.h"

#include <optional>
#include <string>

namespace disktool::ploop::cli {

struct DeviceStart {
    RunningSource source;
    std::string backend = "auto"; ///< or "fuse", "loop"
    std::string component;        ///< -c
    std::optional<int> minor;     ///< none: the lowest that is free
};

/// Says its lines. Returns when the device is there, with its partitions. Throws what the process ended with;
/// PloopError(device_open) where the host has no devices for us.
DeviceState start_device(const Options& options, const DeviceStart& start);

} // namespace disktool::ploop::cli
