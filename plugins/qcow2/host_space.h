// SPDX-License-Identifier: LGPL-2.1-or-later
// What the host really holds of a file.
#pragma once

#include <disktool/extents.h>
#include <disktool/file.h>

#include <cstdint>
#include <optional>

namespace disktool::qcow2 {

/// The unit in which hosts give space back; clusters may be smaller.
constexpr std::uint64_t host_block = 4096;

/// The bytes of `ranges` for which the host holds blocks. Blocks that were reserved and never written
/// (fallocate) are not known to be held. Asks as often as there are runs of data or ranges, whichever is less.
ExtentSet held_bytes(File& file, const ExtentSet& ranges);

/// How many bytes of `ranges` the host has blocks for, those included that were reserved and never written.
/// None where it cannot tell.
std::optional<std::uint64_t> reserved_bytes(File& file, const ExtentSet& ranges);

} // namespace disktool::qcow2
