// SPDX-License-Identifier: LGPL-2.1-or-later
// For whoever is about to say that there is no device: the states are root's, and not to see them is not to
// know.
#pragma once

#include "device/device_state.h"

#include <disktool/error.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Does it. What it may not look at for not being root becomes PloopError(device_open) that says so.
void as_root_only(const std::function<void()>& work);

/// All devices, and the one of a node (device_of_node()). Throw as as_root_only().
std::vector<DeviceState> known_states();
std::optional<DeviceState> known_device(const std::string& node);

/// Returns when a look would have shown whatever there is. Throws as as_root_only().
void demand_known_devices();

} // namespace disktool::ploop::cli
