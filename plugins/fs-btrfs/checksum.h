// SPDX-License-Identifier: LGPL-2.1-or-later
// The checksums that a superblock can choose for all metadata.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace disktool::btrfs {

enum class ChecksumType : std::uint16_t { crc32c = 0, xxhash64 = 1, sha256 = 2, blake2b = 3 };
constexpr std::size_t checksum_field = 32; ///< bytes kept for it at the start of every superblock and node

bool is_known(ChecksumType type);
std::string name(ChecksumType type);
/// Is the checksum at the start of `block` that of the rest of it?
bool checksum_matches(ChecksumType type, std::span<const std::byte> block);
/// Writes it there. For what makes test images.
void set_checksum(ChecksumType type, std::span<std::byte> block);

} // namespace disktool::btrfs
