// SPDX-License-Identifier: LGPL-2.1-or-later
// The two ways in which this plugin says no.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <string_view>

namespace disktool::btrfs {

/// `what` is half a sentence with the place in it: "the node at logical byte 30408704 has a bad checksum".
Error damage(const BlockDevice& device, std::string_view what);
/// `what` is a whole sentence without its full stop.
Error unsupported(const BlockDevice& device, std::string_view what,
                  Reason reason = Reason::feature_not_supported);

} // namespace disktool::btrfs
