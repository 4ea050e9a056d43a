// SPDX-License-Identifier: LGPL-2.1-or-later
// The file system on a running device, as those commands see it that work through its mount.
#pragma once

#include "device/control.h"
#include "device/device_state.h"
#include "operations.h"
#include "options.h"

#include <cstdint>
#include <memory>
#include <string>

namespace disktool::ploop::cli {

struct RunningFilesystem {
    DeviceState device;
    std::unique_ptr<ControlClient> client; ///< of the device's process
    std::string node;                      ///< of the partition that holds it, or of the whole device
    int partition = 0;                     ///< 0: the whole device
    std::string type;                      ///< "ext4"; empty: nothing that is known
    std::string mount_point;               ///< empty: not mounted

    bool mounted() const { return !mount_point.empty(); }
    bool is_ext() const { return type.starts_with("ext"); }
    /// What messages call the disk: its descriptor, or its node.
    const std::string& name() const { return device.descriptor.empty() ? device.node : device.descriptor; }
};

/// For sentences: "at /mnt", "on /dev/ploop0p1".
std::string place_of(const RunningFilesystem& filesystem);

/// Looks where it is mounted, and asks the device's process that it answers. Of several partitions the mounted one,
/// else the first. Throws PloopError(device_open) where the process is dead.
RunningFilesystem running_filesystem(const DeviceState& device);

/// Of the device that writes the top of that disk; none: the disk is at rest.
std::unique_ptr<RunningFilesystem> filesystem_of_descriptor(const Options& options, const std::string& descriptor);
/// By -d DEVICE: "/dev/ploop0", a partition of it. Throws ParameterError where no such device runs.
std::unique_ptr<RunningFilesystem> filesystem_of_device(const std::string& device);
/// By -m MOUNT_POINT. Throws ParameterError where nothing of ours is mounted there.
std::unique_ptr<RunningFilesystem> filesystem_of_mount(const std::string& mount_point);

/// What of the top image matters to those who work on the file system.
struct RunningImage {
    std::string path;
    std::uint64_t cluster = 0; ///< bytes
    bool raw = false;
};
RunningImage running_image(const DeviceState& device);
/// Size of the block device, bytes.
std::uint64_t device_size(const std::string& node);

/// A file system that is mounted for the duration of a command, beside the base image; unmounted when it goes.
class TemporaryMount {
  public:
    /// Changes `filesystem`, which must outlive it. Nothing is done where it is mounted already.
    explicit TemporaryMount(RunningFilesystem& filesystem);
    TemporaryMount(const TemporaryMount&) = delete;
    TemporaryMount& operator=(const TemporaryMount&) = delete;
    ~TemporaryMount();

  private:
    RunningFilesystem& filesystem_;
    bool mounted_ = false;
    std::string folder_;
};

/// Asks the device's process; what it says goes to `say`, its warnings to the log. When `cancel` is, Error(interrupted).
ControlMessage ask_device(RunningFilesystem& filesystem, const Say& say, const std::string& request,
                          ControlMessage arguments = ControlMessage::object(), CancelToken* cancel = nullptr);

} // namespace disktool::ploop::cli
