// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers as LVM2 stores them (little-endian, at any offset), and its checksum.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::lvm2 {

/// The caller has checked that offset + sizeof(T) lies within `bytes`.
template <typename T>
T load_le(std::span<const std::byte> bytes, std::size_t offset) {
    std::uint64_t value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[offset + i]);
    return static_cast<T>(value);
}

constexpr std::uint32_t checksum_seed = 0xf597a6cf;

/// CRC-32 with the usual polynomial, but a seed of LVM's own and the result not inverted (lib/misc/crc.c of
/// lvm2: INITIAL_CRC). zlib inverts before and after, which is undone here.
inline std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t seed = checksum_seed) {
    return ~static_cast<std::uint32_t>(
        crc32_z(static_cast<std::uint32_t>(~seed), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

} // namespace disktool::lvm2
