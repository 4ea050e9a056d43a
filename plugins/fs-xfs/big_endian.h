// SPDX-License-Identifier: LGPL-2.1-or-later
// XFS keeps its numbers big-endian on disk, whatever the machine (its checksums excepted).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::xfs {

/// The number of sizeof(T) bytes at `offset`. Callers see to it that it lies within `bytes`.
template <class T>
T big_endian(std::span<const std::byte> bytes, std::size_t offset) {
    std::uint64_t value = 0;
    for (const std::byte byte : bytes.subspan(offset, sizeof(T)))
        value = value << 8 | std::to_integer<std::uint64_t>(byte);
    return static_cast<T>(value);
}

inline std::uint16_t be16(std::span<const std::byte> bytes, std::size_t offset) {
    return big_endian<std::uint16_t>(bytes, offset);
}
inline std::uint32_t be32(std::span<const std::byte> bytes, std::size_t offset) {
    return big_endian<std::uint32_t>(bytes, offset);
}
inline std::uint64_t be64(std::span<const std::byte> bytes, std::size_t offset) {
    return big_endian<std::uint64_t>(bytes, offset);
}

} // namespace disktool::xfs
