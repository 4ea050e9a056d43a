// SPDX-License-Identifier: LGPL-2.1-or-later
// Sizes as people write and read them. All units are powers of 1024.
#pragma once

#include <disktool/api.h>

#include <cstdint>
#include <string>

namespace disktool {

constexpr std::uint64_t KiB = 1ull << 10;
constexpr std::uint64_t MiB = 1ull << 20;
constexpr std::uint64_t GiB = 1ull << 30;
constexpr std::uint64_t TiB = 1ull << 40;

/// "1.5 GiB", "640 KiB", "17 bytes": at most one decimal.
DISKTOOL_API std::string size_text(std::uint64_t bytes);
/// "2 GiB (2147483648 bytes)": for messages where the exact number matters.
DISKTOOL_API std::string exact_size_text(std::uint64_t bytes);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
    return value / unit * unit;
}
constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t unit) {
    return value / unit + (value % unit != 0);
}

} // namespace disktool
