// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers as they lie on disk.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace disktool::qcow2 {

static_assert(std::endian::native == std::endian::little, "the byte order of the tables is swapped");

template <std::unsigned_integral T>
constexpr T swap_bytes(T value) {
    if constexpr (sizeof value == 8) {
        return __builtin_bswap64(value);
    } else if constexpr (sizeof value == 4) {
        return __builtin_bswap32(value);
    } else if constexpr (sizeof value == 2) {
        return __builtin_bswap16(value);
    } else {
        static_assert(sizeof value == 1);
        return value;
    }
}

/// The number at `offset` of `bytes`, which the caller knows to be long enough.
template <std::unsigned_integral T>
T load_big_endian(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
    return swap_bytes(value);
}

template <std::unsigned_integral T>
void store_big_endian(std::span<std::byte> bytes, std::size_t offset, T value) {
    value = swap_bytes(value);
    std::memcpy(bytes.subspan(offset, sizeof value).data(), &value, sizeof value);
}

/// Words of a table, in place.
inline void swap_words(std::span<std::uint64_t> words) {
    for (std::uint64_t& word : words) {
        word = swap_bytes(word);
    }
}

} // namespace disktool::qcow2
