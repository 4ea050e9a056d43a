// SPDX-License-Identifier: LGPL-2.1-or-later
// What mount and umount have in common: the end of a device, and how their plans are carried out.
#pragma once

#include "command.h"
#include "device/device_state.h"

#include <memory>
#include <string>

namespace disktool::cli {

/// Of root alone. Throws Error(not_found).
void require_root();

/// Asks its process to end. Throws Error(locked) where someone has it open for long.
void stop_device(const DeviceState& device);

/// Takes away the device, whose process has died, and warns of what is lost where it wrote. Refers to `run`.
std::unique_ptr<Step> clear_step(Run& run, const DeviceState& device);
/// Stops the device, or clears it away where its process dies meanwhile. Refers to `run`.
std::unique_ptr<Step> stop_step(Run& run, const DeviceState& device);

/// Runs it, or prints it with --dry-run. It goes without a job record: devices have no image of ours open.
void act_on_devices(Run& run, Plan& plan);

} // namespace disktool::cli
