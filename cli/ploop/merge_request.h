// SPDX-License-Identifier: LGPL-2.1-or-later
// What snapshot-merge, and merge -d, ask the process of a running disk for.
#pragma once

#include "operations.h"
#include "running_devices.h"

namespace disktool::ploop::cli {

DeviceRequest merge_request(const MergeRequest& request);

} // namespace disktool::ploop::cli
