// SPDX-License-Identifier: LGPL-2.1-or-later
// What is asked of a run of bytes in many places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace disktool {

/// True for no bytes at all. As fast as memcmp: cheap enough for every piece that is copied.
inline bool all_zero(std::span<const std::byte> bytes) {
    // The first byte is zero and every byte equals the one before it.
    return bytes.empty() || (bytes.front() == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// FNV-1a, 64 bits: tells contents apart, and is no protection against someone who wants to deceive.
inline std::uint64_t fnv1a(std::span<const std::byte> bytes) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::byte byte : bytes) {
        hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    return hash;
}

} // namespace disktool
