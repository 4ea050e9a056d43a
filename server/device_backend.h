// SPDX-License-Identifier: LGPL-2.1-or-later
// How a BlockDevice becomes a block device of the kernel. Two ways so far; ublk or NBD would be others.
#pragma once

#include "block/host_descriptor.h"
#include "device/fuse_disk.h"
#include "device_options.h"
#include "device_source.h"

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace disktool::server {

/// Threads: one at a time; counters() and first_error() any.
class DeviceBackend {
  public:
    DeviceBackend() = default;
    DeviceBackend(const DeviceBackend&) = delete;
    DeviceBackend& operator=(const DeviceBackend&) = delete;
    /// Without detach() the kernel's device may stay. What takes time and nobody waits for is done here.
    virtual ~DeviceBackend();

    virtual std::string name() const = 0; ///< as in the state: "fuse", "loop"
    /// Does each request of the guest go through us? Else the image cannot be changed beside it.
    virtual bool serves() const = 0;
    virtual std::string node() const = 0;   ///< of the kernel's device: "/dev/loop3"
    virtual Descriptor open() const = 0;    ///< that device, for reading; to be closed soon (LoopDevice)
    virtual std::uint64_t size() const = 0; ///< bytes, as the kernel has it; nothing is opened for that
    virtual bool can_grow() const = 0;
    virtual void follow_size() = 0;                  ///< the disk has another size now; can_grow()
    virtual FuseDisk::Counters counters() const = 0; ///< zeros where nothing goes through us
    virtual std::optional<Error> first_error() const = 0;
    /// Partitions go, then the kernel's device. False: not yet, since somebody has it open; when he closes it,
    /// it goes.
    virtual bool detach() = 0;
    /// After that: whoever still has it open gets errors, and nothing is asked of the source any more.
    virtual void end() = 0;
};

/// A file of ours under a loop device with direct I/O. `shown_name`: what the loop device says of itself.
std::unique_ptr<DeviceBackend> make_fuse_backend(DeviceSource& source, const DeviceOptions& options,
                                                 const std::string& shown_name);
/// A loop device straight on the file. Throws Error(unsupported) where it cannot have direct I/O.
std::unique_ptr<DeviceBackend> make_loop_backend(DeviceSource& source, const WholeFile& file,
                                                 const DeviceOptions& options, const std::string& shown_name);
/// The one that was asked for, or else the best that can be.
std::unique_ptr<DeviceBackend> make_backend(DeviceSource& source, const DeviceOptions& options,
                                            const std::string& shown_name);

} // namespace disktool::server
