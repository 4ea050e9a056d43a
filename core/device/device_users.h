// SPDX-License-Identifier: LGPL-2.1-or-later
// Who uses a block device or one of its partitions.
#pragma once

#include <disktool/api.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool {

struct DeviceMount {
    std::uint64_t device_number = 0; ///< dev_t of what is mounted
    std::uint64_t id = 0;            ///< the kernel's (mountinfo, statx)
    std::string point;
    std::string filesystem; ///< "ext4"
    /// Another mount name space has it: the folder by which that one's root is reached ("/proc/17/root").
    std::string reach{};
};

/// Mounts of these devices in our mount name space (/proc/self/mountinfo). A btrfs shows no device number of
/// its own; it is known by the name of the device it was mounted from.
DISKTOOL_API std::vector<DeviceMount> mounts_of(const std::vector<std::uint64_t>& device_numbers);
/// Those of the other mount name spaces of this host, as far as we may look.
DISKTOOL_API std::vector<DeviceMount> mounts_elsewhere(const std::vector<std::uint64_t>& device_numbers);

struct DeviceOpener {
    int pid = 0;
    std::string program;
};

/// Processes, without our own, that have one of these devices open, as far as we may look.
DISKTOOL_API std::vector<DeviceOpener> openers_of(const std::vector<std::uint64_t>& device_numbers);

/// Is the whole device or a part of it claimed (mounted anywhere, swap, LVM, ...)? `node`: of the whole device.
DISKTOOL_API bool is_claimed(const std::string& node);

/// The whole device and its partitions. It is not opened. Throws SystemError for what is no block device.
DISKTOOL_API std::vector<std::uint64_t> device_numbers_of(const std::string& node);

/// A sentence part on what of the above there is: "mounted on /mnt", "open in dd (process 17)"; empty: nothing.
DISKTOOL_API std::string users_of(const std::string& node, const std::vector<std::uint64_t>& device_numbers);

} // namespace disktool
