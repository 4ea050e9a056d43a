// SPDX-License-Identifier: LGPL-2.1-or-later
// Programs of the host that work on a file system of a running device.
#pragma once

#include "running_filesystem.h"

#include <disktool/plan.h>
#include <disktool/subprocess.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Runs it, saying so as the original does. Throws Error(program_missing), naming the package.
CommandResult run_program(StepContext& context, const RunningFilesystem& filesystem, const std::string& program,
                          std::vector<std::string> arguments);
/// Has the host that program?
bool has_program(Doors doors, const std::string& program);

/// Did the kernel refuse to grow a mounted ext4 because we may not?
bool lacks_resource_capability(const CommandResult& result);
/// By which number a btrfs knows the device.
std::uint64_t btrfs_device_id(const std::string& node);
/// What lies behind the first bytes of the block device is given back (BLKDISCARD). A device that cannot is
/// left as it is.
void discard_behind(const std::string& node, std::uint64_t first);

} // namespace disktool::ploop::cli
