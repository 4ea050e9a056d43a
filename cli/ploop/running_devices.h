// SPDX-License-Identifier: LGPL-2.1-or-later
// Which devices run a disk, for commands that are given its descriptor.
#pragma once

#include "ask_device.h"
#include "errors.h"
#include "running_filesystem.h"

#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Those that serve an image of this disk, also dead ones and those that were mounted by their images: the one
/// that writes to the disk first. None for a user who may not know.
std::vector<DeviceState> devices_of_disk(const std::string& descriptor);
/// The one that writes to the disk; none: the disk is at rest, or only read.
std::optional<DeviceState> writer_of_disk(const std::string& descriptor);
/// Of the device that has the top of that disk, the one that writes to it first; none: the disk is at rest, or
/// only snapshots of it run.
std::optional<RunningFilesystem> filesystem_of_descriptor(const Options& options,
                                                          const std::string& descriptor);

/// For verbs that work only on a disk at rest. Throws PloopError(exit) where a device has an image of it.
void refuse_while_running(const std::string& descriptor, Exit exit, const std::string& verb);
/// The same for a single image file.
void refuse_running_image(const std::string& image, Exit exit);

} // namespace disktool::ploop::cli
