// SPDX-License-Identifier: LGPL-2.1-or-later
// An image that was deleted while a device has it open lives as long as the device.
#pragma once

#include "device/device_state.h"

#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Paths of its images that no name of a file leads to any more, as the device's process has them open. A
/// renamed one is not among them.
std::vector<std::string> deleted_images(const DeviceState& device);

} // namespace disktool::ploop::cli
