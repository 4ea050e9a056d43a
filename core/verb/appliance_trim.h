// SPDX-License-Identifier: LGPL-2.1-or-later
// The step that lets the appliance discard free space.
#pragma once

#include "image/session.h"

#include <disktool/plan.h>

#include <memory>
#include <string>
#include <vector>

namespace disktool {

/// Boots the appliance on the image and runs fstrim on the partitions with these numbers (0: the whole disk);
/// an empty list means every file system that can be mounted. The session's image must be reopened afterwards
/// to be read again.
std::unique_ptr<Step> make_appliance_trim(Session& session, std::vector<int> partitions);

} // namespace disktool
