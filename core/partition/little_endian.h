// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers as MBR and GPT store them: least significant byte first, at any offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool {

/// The caller has checked that offset + sizeof(T) lies within `bytes`.
template <typename T>
T load_le(std::span<const std::byte> bytes, std::size_t offset) {
    T value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) {
        value = static_cast<T>((static_cast<std::uint64_t>(value) << 8) |
                               std::to_integer<std::uint64_t>(bytes[offset + i]));
    }
    return value;
}

template <typename T>
void store_le(std::span<std::byte> bytes, std::size_t offset, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        bytes[offset + i] = static_cast<std::byte>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
    }
}

} // namespace disktool
