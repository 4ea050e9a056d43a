// SPDX-License-Identifier: LGPL-2.1-or-later
// The folder of the device states, and the locks in it.
#pragma once

#include "block/host_descriptor.h"

#include <optional>
#include <string>

namespace disktool {

/// The largest number of a device: what the original's driver has room for.
constexpr int largest_minor = 65535;

/// As device_folder(), but none where it is missing.
std::optional<std::string> existing_device_folder();

/// Opens ploopN.lock, making it when it is missing and `make`. None: it is missing. Throws SystemError.
Descriptor open_device_lock(int minor, bool make);
/// Takes the lock, not waiting. False: someone has it.
bool try_device_lock(int lock);
/// Has someone else the lock? Takes nothing, so that it stands in nobody's way.
bool device_lock_held(int lock);

/// `state` is of a dead device and the caller has its lock: the work of remove_dead_device().
struct DeviceState;
bool clear_away(const DeviceState& state);
/// The nodes that the state names, as far as they are nodes or links.
void remove_device_nodes(const DeviceState& state);

} // namespace disktool
