// SPDX-License-Identifier: LGPL-2.1-or-later
// An image that is to be a device: what a program of this folder brings along.
#pragma once

#include "device/control.h"
#include "device/device_state.h"

#include <disktool/block_device.h>
#include <disktool/range.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace disktool::server {

class RunningDevice;

/// The disk lies in one run of a file: a loop device can show it without us.
struct WholeFile {
    std::string path;
    Range range;          ///< bytes of the file
    bool to_end = false;  ///< the file ends where the disk does, and grows with it
    bool discard = false; ///< holes may be punched into it
};

struct DeviceRequest {
    ControlFunction run;
    bool at_once = false; ///< may run beside others
};

/// Threads: device() as it says; the rest one at a time.
class DeviceSource {
  public:
    DeviceSource() = default;
    DeviceSource(const DeviceSource&) = delete;
    DeviceSource& operator=(const DeviceSource&) = delete;
    virtual ~DeviceSource(); ///< without close(): as a crash leaves the image

    virtual BlockDevice& device() = 0; ///< concurrent()
    /// Asked before the device is served.
    virtual std::optional<WholeFile> whole_file() = 0;
    /// Discards of whole, aligned units of so many bytes read as zeros afterwards; 0: none do.
    virtual std::uint64_t discard_unit() const = 0;
    /// Format, disk, descriptor, images, snapshot, read_only: as they are now.
    virtual void describe(DeviceState& state) const = 0;
    /// What can be asked of the device beside what all of them answer.
    virtual std::map<std::string, DeviceRequest> requests(RunningDevice& device) = 0;
    /// Nothing is served any more: what was written is safe, the image is closed. Throws Error.
    virtual void close() = 0;
};

} // namespace disktool::server
