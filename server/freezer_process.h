// SPDX-License-Identifier: LGPL-2.1-or-later
// A small process beside the one that serves a device, which freezes the file systems on it.
//
// To freeze is to wait for what the device's own process does. That process must not have a thread that waits
// so in the kernel: when it is killed, the thread would keep /dev/fuse open, the kernel would go on waiting for
// an answer, and nobody could end that. The small one has nothing of the device open. When the other one dies,
// it thaws what is frozen, and ends.
#pragma once

#include "block/host_descriptor.h"
#include "device/device_users.h"

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <vector>

namespace disktool::server {

/// Threads: any; a thaw() waits for a freeze() that is under way.
class FreezerProcess {
  public:
    /// Before there are threads. Throws SystemError.
    FreezerProcess();
    FreezerProcess(const FreezerProcess&) = delete;
    FreezerProcess& operator=(const FreezerProcess&) = delete;
    ~FreezerProcess(); ///< what is frozen is thawed

    /// As DeviceFreezer::freeze().
    std::vector<DeviceMount> freeze(const std::vector<std::uint64_t>& device_numbers);
    void thaw() noexcept;

  private:
    std::mutex mutex_;
    Descriptor socket_;
    pid_t pid_ = 0;
    std::vector<std::uint64_t> numbers_; ///< of the last freeze
};

} // namespace disktool::server
