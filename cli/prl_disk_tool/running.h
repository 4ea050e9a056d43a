// SPDX-License-Identifier: LGPL-2.1-or-later
// Verbs on a disk whose device runs: they work through the device's process and the mounted file system.
#pragma once

#include "command.h"
#include "device/device_state.h"
#include "running_filesystem.h"

#include <optional>
#include <string>
#include <vector>

namespace disktool::cli {

/// The live device that writes to the disk of --hdd, which may be named by its folder, its descriptor or its
/// top image. None: the disk is at rest, or only read, or we may not know. Throws Error(unsupported) where
/// --hdd names an image below the running top and the verb `changes` the disk.
std::optional<DeviceState> running_device(Run& run, bool changes);

void resize_on_device(Run& run, const DeviceState& device);
void resize_info_on_device(Run& run, const DeviceState& device);
void compact_on_device(Run& run, const DeviceState& device);
void compact_info_on_device(Run& run, const DeviceState& device);
void merge_on_device(Run& run, const DeviceState& device);
/// Of that image as their disk, dead ones, too; not as a backing image of another disk.
std::vector<DeviceState> devices_of_disk(const FileStatus& image);
/// ", but ..." of a disk that a device of another kind has, or one that stands upon it, with the way out;
/// empty: none has.
std::string who_has_it(const Run& run);
/// Throws Error(locked), naming the device, where it is mounted, and the way out; for a dead one it says so.
[[noreturn]] void refuse_on_device(const Run& run, const DeviceState& device);
/// The same where another error says that the disk is locked, and a device that only reads it, or one of
/// another format, is why. Returns where none is.
void explain_lock(const Run& run);

/// What the verbs that both front doors have are told, and where they speak. Refers to `run`.
class DeviceWork {
  public:
    explicit DeviceWork(Run& run);
    const ploop::cli::Options& options() const { return options_; }
    /// The file system on the device. Throws Error where its process is dead.
    ploop::cli::RunningFilesystem filesystem(const DeviceState& device);
    /// What came of it goes into the JSON of the run, by the names that it has for disks at rest.
    void finish();
    Json& json() { return output_.json(); }

  private:
    Run& run_;
    ploop::cli::Output output_;
    ploop::cli::Options options_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Members "device" and "image" of the JSON.
void describe_device(Run& run, const ploop::cli::RunningFilesystem& filesystem);

} // namespace disktool::cli
