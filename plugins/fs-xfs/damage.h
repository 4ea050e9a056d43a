// SPDX-License-Identifier: LGPL-2.1-or-later
// The ways in which this plugin says that a file system is broken, or not of a kind that it knows.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <string_view>

namespace disktool::xfs {

/// `what` is half a sentence with the place in it: "the free-space header of group 3 (at byte 512) has a bad
/// checksum".
Error damage(const BlockDevice& device, std::string_view what);
/// `what` says the feature: "it has an XFS of version 3, ...".
Error unsupported(const BlockDevice& device, std::string_view what);

} // namespace disktool::xfs
