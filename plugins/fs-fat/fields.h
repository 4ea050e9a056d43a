// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers and texts as FAT stores them: little-endian, at any offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace disktool::fat {

/// The caller has checked that offset + sizeof(T) lies within `bytes`.
template <typename T>
T load_le(std::span<const std::byte> bytes, std::size_t offset) {
    std::uint64_t value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[offset + i]);
    return static_cast<T>(value);
}

/// A padded text field in some code page: without trailing spaces, and '?' for all that is not plain ASCII.
std::string padded_text(std::span<const std::byte> field);
/// UTF-16, as UTF-8; control characters and broken pairs become '?'.
std::string utf16_text(std::span<const std::byte> field);
/// "1234-ABCD", as blkid writes a volume's serial number; empty for 0.
std::string serial_text(std::uint32_t serial);

} // namespace disktool::fat
