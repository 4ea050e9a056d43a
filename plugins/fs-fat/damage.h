// SPDX-License-Identifier: LGPL-2.1-or-later
// The ways in which this plugin says that a file system is broken, dirty or beyond it.
#pragma once

#include <disktool/block_device.h>
#include <disktool/error.h>
#include <disktool/filesystem.h>

#include <string_view>

namespace disktool::fat {

/// `what` is half a sentence with the place in it: "its two FATs differ at byte 16384".
Error damage(const BlockDevice& device, std::string_view what);
Error unsupported(const BlockDevice& device, std::string_view what, Reason reason);

/// The state of one that was not unmounted, or that has had I/O errors.
FilesystemState unclean_state(bool dirty, bool hard_error);
/// Throws `damaged` where the state says that the free map is not to be believed.
void demand_trust(const BlockDevice& device, std::string_view type, const FilesystemState& state);
/// Why the minimum is the present size.
MinimumSize fixed_size(std::uint64_t size);

} // namespace disktool::fat
