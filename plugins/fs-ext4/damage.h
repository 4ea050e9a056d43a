// SPDX-License-Identifier: LGPL-2.1-or-later
// The one way in which this plugin says that a file system is broken.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <string_view>

namespace disktool::ext4 {

/// `what` is half a sentence with the place in it: "block bitmap of group 3 (block 1027) has a bad checksum".
Error damage(const BlockDevice& device, std::string_view what);

} // namespace disktool::ext4
