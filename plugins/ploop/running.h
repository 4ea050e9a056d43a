// SPDX-License-Identifier: LGPL-2.1-or-later
// Is an image in use by a ploop device?
#pragma once

#include <disktool/file.h>

#include <optional>
#include <string>

namespace disktool::ploop {

/// The device ("/dev/ploop770") that has the image as one of its deltas: of the original's driver, from
/// /sys/block, or of a live process of ours that is not this one. Newer versions of the original use the device
/// mapper, which does not tell its files: their locks on the base image are what keeps us out
/// (descriptor_lock.h).
std::optional<std::string> running_device(FileDoor& files, const std::string& image_path);

/// Throws PloopError(dirty, locked) where there is one, or where another process has the image locked for
/// writing.
void refuse_running(FileDoor& files, const std::string& image_path);

/// Before an image is changed or removed: the same, and also where another process has it locked for reading.
void refuse_used(FileDoor& files, const std::string& image_path);

} // namespace disktool::ploop
