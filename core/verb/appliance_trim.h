// SPDX-License-Identifier: LGPL-2.1-or-later
// The step that lets the appliance discard free space.
#pragma once

#include "verb/survey.h"

#include <disktool/plan.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool {

/// The content's name in an appliance whose only disk is this one: /dev/sda2, /dev/vg/lv.
std::string appliance_device(const Content& content);

/// Boots the appliance on a working state of the disk, runs fstrim on these devices (none: on every file system
/// that can be mounted) and makes the working state the image's own.
void plan_appliance_trim(Plan& plan, std::uint64_t disk_size, std::vector<std::string> devices);

} // namespace disktool
