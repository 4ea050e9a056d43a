// SPDX-License-Identifier: LGPL-2.1-or-later
// What can be asked of a ploop device: the verbs of its disk (docs/ploop-devices.md has the table).
#pragma once

#include "device_source.h"
#include "running_device.h"
#include "running_disk.h"

#include <map>
#include <mutex>
#include <string>

namespace disktool::server {

/// All three must outlive them. `verbs`: held while one works on the disk.
std::map<std::string, DeviceRequest> ploop_requests(ploop::RunningDisk& disk, RunningDevice& device,
                                                    std::mutex& verbs);

} // namespace disktool::server
