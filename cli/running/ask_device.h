// SPDX-License-Identifier: LGPL-2.1-or-later
// Which device a word of the command line means, and what is asked of its process.
#pragma once

#include "command_options.h"
#include "device/control.h"
#include "device/device_state.h"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// All devices; none for a user who may not know: for verbs that work on a disk at rest as well, where the
/// locks on the image keep him away from one that runs. Whoever would say that there is none: known_devices.h.
std::vector<DeviceState> readable_states();

/// A node of a device or of a partition. Throws PloopError(device_open) where there is no such device, or only
/// root can know.
DeviceState device_of_word(const std::string& node);

/// What is mounted on the folder is of that one; none: of no device of ours. Throws PloopError(device_open)
/// where only root can know.
std::optional<DeviceState> device_at(const std::string& folder);

/// Of several the one that is meant: the one that writes, or the only one. Throws ParameterError that names
/// them where that is not enough.
std::optional<DeviceState> choose_device(std::vector<DeviceState> devices, const std::string& what);

/// Says its lines and shows its progress. Throws what it answers as PloopError; PloopError(device_open) where
/// its process is dead.
ControlMessage ask_device(const Options& options, const DeviceState& device, const std::string& request,
                          ControlMessage arguments = ControlMessage::object());

/// What its process says of itself and its image. Throws the same.
ControlMessage device_status(const DeviceState& device);

/// What is asked of a device in the place of a plan for a disk at rest.
struct DeviceRequest {
    std::string request;
    ControlMessage arguments = ControlMessage::object();
    std::string text;    ///< "take a snapshot", for --dry-run
    bool planned = true; ///< with --dry-run its process is asked whether it would
};
/// Asks, or with --dry-run says what would be asked. Request and answer go into the JSON. Gives the exit code.
int carry_out(const Options& options, const DeviceState& device, const DeviceRequest& request);

/// For requests: a relative name is of our working folder, not of the device's process.
std::string absolute_path(const std::string& path);

/// Does it, again and again while it throws Error(locked); what it throws behind `end` is thrown. `cancel` may
/// be null; when cancelled: Error(interrupted).
void until_unlocked(std::chrono::steady_clock::time_point end, const CancelToken* cancel,
                    const std::function<void()>& work);

/// Someone who was told of a new device, or that it goes, may be looking at it for a moment.
inline constexpr std::chrono::milliseconds stop_patience{6000};

/// Nothing of it may be mounted. Tries again for a while when someone has it open (udev looks at new devices).
/// Returns when its process and its names have gone. Throws as ask_device().
void stop_device(const Options& options, const DeviceState& device, std::chrono::milliseconds patience);

/// Takes away what a device whose process has died left. Tries again for a while when someone has it open: one
/// who was told of the errors, or its own process, which the kernel has not ended to the last. False: in use,
/// or mounted.
bool clear_dead_device(const DeviceState& device);

/// Has its process died since `device` was read? A kill may come between looking and asking. Waits for one that
/// is about to end.
bool has_died(const DeviceState& device);

/// "/dev/ploop0", and why nobody answers for it.
[[noreturn]] void refuse_dead(const DeviceState& device);

} // namespace disktool::ploop::cli
