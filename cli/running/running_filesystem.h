// SPDX-License-Identifier: LGPL-2.1-or-later
// The file system on a running device, as those commands see it that work through its mount.
#pragma once

#include "ask_device.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace disktool::ploop::cli {

struct RunningFilesystem {
    const Options* options = nullptr; ///< of this run
    DeviceState device;
    std::string node;        ///< of the partition that holds it, or of the whole device
    int partition = 0;       ///< 0: the whole device
    std::string type;        ///< "ext4"; empty: nothing that is known
    std::string mount_point; ///< empty: not mounted

    bool mounted() const { return !mount_point.empty(); }
    bool is_ext() const { return type.starts_with("ext"); }
    /// What messages call the disk: its descriptor, or its node.
    const std::string& name() const { return device.descriptor.empty() ? device.node : device.descriptor; }
    /// "at /mnt", "on /dev/ploop0p1".
    std::string place() const { return mounted() ? "at " + mount_point : "on " + node; }
    void say(const std::string& line) const { options->output->say(line); }
    /// Throws ParameterError.
    void refuse_read_only() const;
    /// Asks the device's process.
    ControlMessage ask(const std::string& request, ControlMessage arguments = ControlMessage::object()) const {
        return ask_device(*options, device, request, std::move(arguments));
    }
};

/// Looks where it is mounted. Of several partitions the mounted one, else the first. `options` must outlive it.
RunningFilesystem running_filesystem(const Options& options, const DeviceState& device);

/// By -d DEVICE: "/dev/ploop0", a partition of it. Throws PloopError(device_open) where no such device runs.
RunningFilesystem filesystem_of_device(const Options& options, const std::string& device);
/// By -m MOUNT_POINT. Throws ParameterError where nothing of ours is mounted there.
RunningFilesystem filesystem_of_mount(const Options& options, const std::string& mount_point);

/// What of the top image matters to those who work on the file system.
struct RunningImage {
    std::string path;
    std::uint64_t cluster = 0; ///< bytes
    bool raw = false;
    bool served = true; ///< by the device's process: else nothing of it can be freed
};
/// As its process tells.
RunningImage running_image(const DeviceState& device);
/// Throws ParameterError with the way out where the device's process cannot free clusters of the image.
void refuse_unserved(const RunningFilesystem& filesystem, const RunningImage& image);
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

} // namespace disktool::ploop::cli
