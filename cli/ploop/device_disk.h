// SPDX-License-Identifier: LGPL-2.1-or-later
// `ploop init DEVICE` and `ploop resize DEVICE`: an ordinary block device in the place of an image.
#pragma once

#include "new_filesystem.h"
#include "options.h"

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

bool is_block_device(const std::string& path);

/// A GPT with one partition, and a file system in it; what was there is lost. No balloon file: a device has
/// nothing that would shrink with it. Gives the exit code. Throws PloopError(dirty) for a device in use.
int init_device(const Options& options, const std::string& device, const NewFilesystem& filesystem);

/// Table, partition and file system get the device's size, or `sectors` of it (0: all). A killed run is
/// finished by the next one (device_work.h).
int resize_device(const Options& options, const std::string& device, std::uint64_t sectors);

} // namespace disktool::ploop::cli
