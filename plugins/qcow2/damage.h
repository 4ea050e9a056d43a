// SPDX-License-Identifier: LGPL-2.1-or-later
// What every reader of on-disk structures says when it cannot believe one.
#pragma once

#include <disktool/range.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace disktool::qcow2 {

/// Throws Error(damaged): "<path> is damaged: <what>." and the way out. `what` has no full stop.
[[noreturn]] void throw_damaged(const std::string& path, std::string_view what);

/// A name out of an image as it may be shown: control characters, which could steer a terminal, become '?'.
std::string printable(std::string name);

/// A structure that has clusters of its own: starts at a cluster, not in the header's, and ends within the
/// file. Throws damaged, naming it by `what` ("the L1 table"). Safe for any numbers.
void check_place(const std::string& path, std::string_view what, Range place, std::uint64_t cluster_size,
                 std::uint64_t file_size);

} // namespace disktool::qcow2
