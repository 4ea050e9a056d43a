// SPDX-License-Identifier: LGPL-2.1-or-later
// The file systems on a device kept still for a moment (FIFREEZE), so that what the device holds is whole.
#pragma once

#include "device/device_users.h"

#include <disktool/api.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace disktool {

/// Threads: any. What is frozen when it goes is thawed.
class DISKTOOL_API DeviceFreezer {
  public:
    /// `numbers`: the device and its partitions, as they are when it is called.
    explicit DeviceFreezer(std::function<std::vector<std::uint64_t>()> numbers);
    DeviceFreezer(const DeviceFreezer&) = delete;
    DeviceFreezer& operator=(const DeviceFreezer&) = delete;
    ~DeviceFreezer();

    /// Each file system that is mounted from the device, also in another mount name space. One that cannot be
    /// frozen (vfat) is written out (syncfs); one that somebody else has frozen stays his. They are frozen
    /// until thaw() has been called as often. Throws SystemError, and then nothing is frozen by this call.
    std::vector<DeviceMount> freeze();
    /// Never throws: what goes wrong is logged. Without freeze(): nothing.
    void thaw() noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Of a device whose process was killed while they were frozen. Never throws.
DISKTOOL_API void thaw_left_frozen(const std::vector<std::uint64_t>& device_numbers) noexcept;

} // namespace disktool
