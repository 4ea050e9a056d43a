// SPDX-License-Identifier: LGPL-2.1-or-later
// Is an image in use by a ploop device of the kernel?
#pragma once

#include <disktool/file.h>

#include <optional>
#include <string>

namespace disktool::ploop {

/// The device ("/dev/ploop770") of the original's driver that has the image as one of its deltas, from
/// /sys/block; none on a kernel without that driver. Newer versions of the original use the device mapper,
/// which does not tell its files: their locks on the base image are what keeps us out (descriptor_lock.h).
std::optional<std::string> running_device(FileDoor& files, const std::string& image_path);

/// Throws PloopError(dirty, locked) where there is one.
void refuse_running(FileDoor& files, const std::string& image_path);

} // namespace disktool::ploop
