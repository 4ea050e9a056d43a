// SPDX-License-Identifier: LGPL-2.1-or-later
// What is mounted of a device, mounting and unmounting, with libmount: so that all options of mount(8) are
// understood, and its own notes (/run/mount/utab) are kept.
#pragma once

#include "device/device_state.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

struct MountPoint {
    int id = 0; ///< of the kernel
    std::string source, path, filesystem;
};

/// Of the device and its partitions, in our mount name space, in the order in which they were mounted.
std::vector<MountPoint> mount_points_of(const DeviceState& device);
/// The same of several devices, of which one may be mounted over another.
std::vector<MountPoint> mount_points_of(const std::vector<DeviceState>& devices);
/// The kernel's numbers (dev_t) of the whole device and its partitions; the first is of the whole. Empty where
/// the host has the device no more.
std::vector<std::uint64_t> device_numbers_of(const DeviceState& device);
/// What is mounted on that folder, the uppermost; none: nothing is.
std::optional<MountPoint> mounted_on(const std::string& folder);
/// All of that type of file system.
std::vector<MountPoint> mount_points_of_type(const std::string& filesystem);

/// The node that holds the file system: partition 1, or the first there is, or the whole device.
std::string filesystem_node(const DeviceState& device);
/// What libblkid takes it for: "ext4"; none: nothing that is known, or not one thing.
std::optional<std::string> filesystem_type(const std::string& node);

struct MountRequest {
    std::string node, folder, type;
    std::string options; ///< as for mount(8)
    bool read_only = false;
};
/// Throws PloopError(mount) with what libmount says of it.
void mount_filesystem(const MountRequest& request);
/// Other options for what is mounted on the folder. Throws the same.
void remount_filesystem(const std::string& folder, const std::string& options);

struct UnmountPatience {
    int tries = 6;
    std::chrono::milliseconds pause{1000};
};
/// Never what someone else has mounted over it. Throws PloopError(unmount) that names who uses it when it is
/// busy all the time.
void unmount(const MountPoint& point, const UnmountPatience& patience);

/// Throws what unmount() would throw now, and changes nothing. `before`: what will have gone then.
void refuse_unmount(const MountPoint& point, const std::vector<MountPoint>& before);

/// "bash (process 17: working folder)", several joined by ", ": processes that use what is mounted there, as
/// far as we may look; empty: none is seen.
std::string users_of_mount(const MountPoint& point);

} // namespace disktool::ploop::cli
