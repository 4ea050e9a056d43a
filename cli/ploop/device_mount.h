// SPDX-License-Identifier: LGPL-2.1-or-later
// A device is started, and what is on it mounted: as a plan, so that a failure on the way takes all of it down.
#pragma once

#include "device_start.h"
#include "options.h"

#include <string>

namespace disktool::ploop::cli {

struct DeviceMountRequest {
    DeviceStart start;
    std::string folder;     ///< -m; empty: the device alone
    std::string type;       ///< -t; empty: what libblkid says, ext4 where it says nothing
    std::string options;    ///< -o
    bool fsck = false;      ///< -F
    std::string uuid;       ///< of the image that is mounted, with braces; empty: without a descriptor
    bool is_top = true;     ///< of its descriptor
    std::string base_image; ///< absolute
};

/// Or with --dry-run says what would be done. Gives the exit code. Throws Error; nothing is left then.
int mount_device(const Options& options, const DeviceMountRequest& request);

} // namespace disktool::ploop::cli
