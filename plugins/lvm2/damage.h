// SPDX-License-Identifier: LGPL-2.1-or-later
// The ways in which this plugin says that a physical volume is broken or beyond it.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <string_view>

namespace disktool::lvm2 {

/// `what` is half a sentence with the place in it: "its label (at byte 512) has a bad checksum".
Error damage(const BlockDevice& device, std::string_view what);
/// `what` is a whole sentence without the full stop; it ends with the way out.
Error unsupported(const BlockDevice& device, std::string_view what, Reason reason);

} // namespace disktool::lvm2
