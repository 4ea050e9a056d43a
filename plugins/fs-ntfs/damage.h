// SPDX-License-Identifier: GPL-2.0-or-later
// The one way in which this plugin says that a file system is broken.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <string_view>

namespace disktool::ntfs {

/// `what` is half a sentence with the place in it: "MFT record 6 (at byte 22528) has no signature".
Error damage(const BlockDevice& device, std::string_view what);

} // namespace disktool::ntfs
