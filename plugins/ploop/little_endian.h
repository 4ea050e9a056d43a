// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers as they lie on disk.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace disktool::ploop {

static_assert(std::endian::native == std::endian::little, "headers and BATs are taken as they lie on disk");

/// The number at `offset` of `bytes`, which the caller knows to be long enough.
template <std::unsigned_integral T>
T get(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
    return value;
}

template <std::unsigned_integral T>
void put(std::span<std::byte> bytes, std::size_t offset, T value) {
    std::memcpy(bytes.subspan(offset, sizeof value).data(), &value, sizeof value);
}

} // namespace disktool::ploop
