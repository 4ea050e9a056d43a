// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers of on-disk structures. All of NTFS is little-endian and may lie unaligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::ntfs {

using Bytes = std::span<const std::byte>;

/// Throws nothing and checks nothing: the caller has seen to it that [at, at + sizeof(Number)) is inside.
template <typename Number>
Number little(Bytes bytes, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        value |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
    return static_cast<Number>(value);
}

} // namespace disktool::ntfs
