// SPDX-License-Identifier: LGPL-2.1-or-later
// Sizes as the original prl_disk_tool takes and prints them.
#pragma once

#include <cstdint>
#include <string>

namespace disktool::cli {

/// Digits and at most one of K, M, G, T (no letter: M), rounded up to MiB; bytes. Throws Error(usage) with the
/// original's message: "Cannot parse size", "Unknown size unit", "Non-ascii size", "Size too big".
std::uint64_t parse_size(const std::string& text);

/// One of K, M, G, T, b (bytes), s (sectors of 512 bytes). Throws Error(usage): "Cannot parse units".
char parse_unit(const std::string& text);

/// "2048M": rounded up to the unit.
std::string size_in_unit(std::uint64_t bytes, char unit);

} // namespace disktool::cli
