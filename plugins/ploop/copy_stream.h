// SPDX-License-Identifier: LGPL-2.1-or-later
// The stream between the two sides of `ploop copy`.
//
// Wire format (docs/ploop-format.md): u32 marker, u32 size, u64 position, little-endian, then so many bytes for
// that position of the image file. Size 4 at position 0: "sync now", answered on the feedback descriptor. Size
// 0 at position 0: the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace disktool::ploop {

constexpr std::uint32_t copy_marker = 0x4cc0ac3d;
constexpr std::size_t copy_record_size = 16; ///< bytes, without what follows
constexpr std::uint32_t copy_sync_size = 4;

/// What the receiver answers to "sync now".
constexpr std::string_view copy_success = "SUCCESS\n";
constexpr std::string_view copy_failure = "FAILURE\n";

/// How long poll(2) waits before the cancel token is looked at, in milliseconds.
constexpr int copy_look_interval = 200;

/// Is the descriptor a pipe or a socket?
bool is_stream(int descriptor);
/// Throws PloopError(invalid_parameter) where it is neither. `role`: "input".
void require_stream(int descriptor, const char* role);

} // namespace disktool::ploop
