// SPDX-License-Identifier: LGPL-2.1-or-later
// The checksum of every metadata block of version 5, and of log records.
#pragma once

#include <boost/crc.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::xfs {

using Crc32c = boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true>;

/// CRC-32C of all of `bytes`, with the four at `field` (where it is stored) taken as zeros.
std::uint32_t checksum(std::span<const std::byte> bytes, std::size_t field);
/// The four bytes at `field`, little-endian: the one thing on disk that is.
std::uint32_t stored_checksum(std::span<const std::byte> bytes, std::size_t field);
/// Does the checksum stored at `field` match the rest?
bool checksum_matches(std::span<const std::byte> bytes, std::size_t field);

} // namespace disktool::xfs
