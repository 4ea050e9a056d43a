// SPDX-License-Identifier: LGPL-2.1-or-later
// The master boot record and the chain of extended boot records.
//
// Layout (UEFI specification 2.10, 5.2.1): 440 bytes of boot code, disk id at 440, four entries of 16 bytes at
// 446, 0x55 0xAA at 510. An entry: boot flag, 3 bytes start CHS, type, 3 bytes end CHS, start and count in
// sectors. An extended boot record (EBR) has the same layout: one entry is the logical partition (start counted
// from the EBR), one the link to the next EBR (counted from the start of the extended partition).
#pragma once

#include <disktool/block_device.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace disktool {

constexpr std::size_t mbr_size = 512; ///< bytes, whatever the disk's sectors are
constexpr std::size_t mbr_entries_offset = 446;
constexpr std::size_t mbr_entry_size = 16;
constexpr std::uint8_t mbr_type_protective = 0xee;
constexpr std::uint8_t mbr_type_dynamic_disk = 0x42;

struct MbrEntry {
    std::uint8_t boot_flag = 0;
    std::uint8_t type = 0;
    std::uint64_t start = 0; ///< sectors
    std::uint64_t count = 0; ///< sectors

    bool used() const { return type != 0 || count != 0; }
    bool extended() const { return type == 0x05 || type == 0x0f || type == 0x85; }
    /// The entry by which an MBR says "see the GPT".
    bool protective() const { return type == mbr_type_protective && start == 1; }
};

struct Mbr {
    bool signature = false; ///< 0x55 0xAA
    std::array<MbrEntry, 4> entries;

    /// A boot flag is 0x00 or 0x80: code or text in the place of the entries hardly ever passes.
    bool plausible() const;
    bool empty() const;
    /// The last sector that the protective entry covers; none without one.
    std::optional<std::uint64_t> protective_end() const;
};

/// `sector` is at least mbr_size long.
Mbr parse_mbr(std::span<const std::byte> sector);

struct ExtendedChain {
    std::vector<std::uint64_t> records; ///< bytes of the disk: where the EBRs lie
    std::size_t logical = 0;            ///< partitions
};

/// Follows the chain; reads at most one record for each number that a logical partition can have. Throws
/// damaged for a loop, for a link or a logical partition that leaves the extended partition, and for a record
/// without signature; unsupported for more partitions than libfdisk can number.
ExtendedChain walk_extended(BlockDevice& disk, const MbrEntry& extended, std::uint32_t sector_size);

} // namespace disktool
