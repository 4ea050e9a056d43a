// SPDX-License-Identifier: LGPL-2.1-or-later
// Both copies of a GUID partition table: found and verified. (What the entries mean, libfdisk tells.)
//
// Layout (UEFI specification 2.10, 5.3): the primary header in sector 1, the backup in the disk's last sector,
// each with its array of entries. A header holds its own place, that of the other one, that of its array, and
// checksums (CRC-32) of itself and of the array.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/range.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace disktool {

/// Offsets in a header, bytes.
namespace gpt_field {
constexpr std::size_t header_size = 12;
constexpr std::size_t header_crc = 16;
constexpr std::size_t my_lba = 24;
constexpr std::size_t alternate_lba = 32;
constexpr std::size_t first_usable = 40;
constexpr std::size_t last_usable = 48;
constexpr std::size_t disk_guid = 56;
constexpr std::size_t entries_lba = 72;
constexpr std::size_t entry_count = 80;
constexpr std::size_t entry_size = 84;
constexpr std::size_t entries_crc = 88;
constexpr std::size_t end = 92;
} // namespace gpt_field

/// One of the two copies. Numbers in sectors unless said otherwise; valid only when intact().
struct GptCopy {
    std::uint64_t lba = 0;                 ///< where it was looked for
    std::uint32_t sector_size = 512;       ///< bytes
    bool signature = false;                ///< "EFI PART"
    std::string problem = "it is missing"; ///< why it cannot be used; empty: it can
    std::uint64_t alternate_lba = 0;
    std::uint64_t first_usable = 0;
    std::uint64_t last_usable = 0;
    std::uint64_t entries_lba = 0;
    std::uint64_t entries_sectors = 0;
    std::size_t used_entries = 0;
    std::vector<std::byte> header;  ///< its whole sector
    std::vector<std::byte> entries; ///< the whole array, filled up to whole sectors

    bool intact() const { return problem.empty(); }
    std::uint64_t offset() const { return lba * sector_size; } ///< bytes
    Range header_range() const { return {offset(), sector_size}; }
    Range entries_range() const { return {entries_lba * sector_size, entries_sectors * sector_size}; }
    /// The same disk and the same partitions?
    bool agrees_with(const GptCopy& other) const;
};

struct Gpt {
    GptCopy primary;
    GptCopy backup;

    bool readable() const { return primary.intact() || backup.intact(); }
    /// The copy to go by. Only when readable().
    const GptCopy& good() const { return primary.intact() ? primary : backup; }
};

/// Looks for the copies, with sectors of 512 and of 4096 bytes: the primary in sector 1, the backup where the
/// primary says, or else in the last sector or in sector `protective_end`, the last one that the protective MBR
/// covers. Reads a few sectors and at most 1 MiB of entries for each copy.
Gpt find_gpt(BlockDevice& disk, std::uint64_t protective_end);

/// Computes both checksums of a header anew. `entries` without the filling.
DISKTOOL_API void seal_gpt_header(std::span<std::byte> header, std::span<const std::byte> entries);

/// Length of the entry array in bytes, as the header says.
DISKTOOL_API std::size_t gpt_entries_length(std::span<const std::byte> header);

} // namespace disktool
