// SPDX-License-Identifier: LGPL-2.1-or-later
// A run of bytes.
#pragma once

#include <cstdint>

namespace disktool {

/// [offset, offset + length), in bytes. Whoever makes one sees to it that end() does not overflow.
struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;

    std::uint64_t end() const { return offset + length; }
    bool empty() const { return length == 0; }
    bool contains(std::uint64_t position) const { return position >= offset && position - offset < length; }
    friend bool operator==(const Range&, const Range&) = default;
};

} // namespace disktool
