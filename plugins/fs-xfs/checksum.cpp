// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checksum.h"

#include <array>

namespace disktool::xfs {

std::uint32_t checksum(std::span<const std::byte> bytes, std::size_t field) {
    const std::array<std::byte, 4> zeros{};
    Crc32c crc;
    crc.process_bytes(bytes.data(), field);
    crc.process_bytes(zeros.data(), zeros.size());
    const std::span<const std::byte> rest = bytes.subspan(field + zeros.size());
    crc.process_bytes(rest.data(), rest.size());
    return crc.checksum();
}

std::uint32_t stored_checksum(std::span<const std::byte> bytes, std::size_t field) {
    std::uint32_t stored = 0;
    for (std::size_t i = 4; i-- > 0;)
        stored = stored << 8 | std::to_integer<std::uint32_t>(bytes[field + i]);
    return stored;
}

bool checksum_matches(std::span<const std::byte> bytes, std::size_t field) {
    return stored_checksum(bytes, field) == checksum(bytes, field);
}

} // namespace disktool::xfs
