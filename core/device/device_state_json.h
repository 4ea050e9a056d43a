// SPDX-License-Identifier: LGPL-2.1-or-later
// A device's state as JSON: in its file, and in answers of its process.
#pragma once

#include "device/device_state.h"

#include <disktool/api.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool {

DISKTOOL_API nlohmann::ordered_json json_of(const DeviceState& state);
/// None for what is no state, or names what a device cannot have (a node of another name, a minor that does not
/// fit it): whoever cleans up removes what it names. `why`: in a few words. Never throws on bad input.
DISKTOOL_API std::optional<DeviceState> device_state_of(const nlohmann::ordered_json& json, std::string& why);

} // namespace disktool
