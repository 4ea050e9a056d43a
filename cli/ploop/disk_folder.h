// SPDX-License-Identifier: LGPL-2.1-or-later
// mount --fuse DIR: the disk, and each partition, as files of a folder, without root and without a device.
#pragma once

#include "mount_table.h"
#include "options.h"
#include "running_disk.h"

#include <optional>
#include <string>

namespace disktool::ploop::cli {

/// Serves it from a process in the background until the folder is unmounted. Gives the exit code once the files
/// are there. Throws Error where it comes to nothing; then no process stays.
int open_disk_folder(const Options& options, const RunningSource& source, const std::string& folder);

/// Is that such a folder?
bool is_disk_folder(const MountPoint& point);
/// The folder that shows a disk, by the absolute path of its descriptor, or of its top image where it has none.
std::optional<MountPoint> disk_folder_of(const std::string& disk);
/// Unmounts it, and waits until its process has closed the image. Throws PloopError(unmount).
int close_disk_folder(const Options& options, const MountPoint& point);

} // namespace disktool::ploop::cli
