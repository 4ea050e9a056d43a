// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/mbr.h"

#include "partition/little_endian.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {
namespace {

constexpr std::size_t max_logical = 56; // libfdisk numbers partitions up to 60, of which 4 are primary

[[noreturn]] void damaged(const BlockDevice& disk, const std::string& what) {
    throw Error(
        ErrorCode::damaged,
        fmt::format("The extended partition of {} cannot be trusted: {}. Repair the table (fdisk, testdisk) "
                    "before working on this disk.",
                    disk.name(), what),
        Reason::table_damaged);
}

/// The one entry of an EBR for which `wanted` holds, or none.
template <typename Predicate>
const MbrEntry* single_entry(const BlockDevice& disk, const Mbr& record, std::uint64_t at, Predicate wanted) {
    const MbrEntry* found = nullptr;
    for (const MbrEntry& entry : record.entries) {
        if (entry.count == 0 || !wanted(entry)) {
            continue;
        }
        if (found != nullptr) {
            damaged(disk, fmt::format("the boot record at byte {} has several entries of one kind", at));
        }
        found = &entry;
    }
    return found;
}

} // namespace

bool Mbr::plausible() const {
    return signature && std::all_of(entries.begin(), entries.end(), [](const MbrEntry& entry) {
               return entry.boot_flag == 0x00 || entry.boot_flag == 0x80;
           });
}

bool Mbr::empty() const {
    return std::none_of(entries.begin(), entries.end(), [](const MbrEntry& entry) { return entry.used(); });
}

std::optional<std::uint64_t> Mbr::protective_end() const {
    const auto entry =
        std::find_if(entries.begin(), entries.end(), [](const MbrEntry& e) { return e.protective(); });
    if (!signature || entry == entries.end()) {
        return std::nullopt;
    }
    return entry->start + entry->count - 1;
}

Mbr parse_mbr(std::span<const std::byte> sector) {
    Mbr mbr;
    mbr.signature = load_le<std::uint16_t>(sector, 510) == 0xaa55;
    for (std::size_t i = 0; i < mbr.entries.size(); ++i) {
        const auto bytes = sector.subspan(mbr_entries_offset + i * mbr_entry_size, mbr_entry_size);
        mbr.entries[i] = {load_le<std::uint8_t>(bytes, 0), load_le<std::uint8_t>(bytes, 4),
                          load_le<std::uint32_t>(bytes, 8), load_le<std::uint32_t>(bytes, 12)};
    }
    return mbr;
}

ExtendedChain walk_extended(BlockDevice& disk, const MbrEntry& extended, std::uint32_t sector_size) {
    const std::uint64_t end = extended.start + extended.count;
    if (end > disk.size() / sector_size) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("The extended partition of {} ends at byte {}, beyond the end of the disk ({} bytes). "
                        "Repair the table, or give the disk its full size again.",
                        disk.name(), end * sector_size, disk.size()),
            Reason::partition_beyond_end);
    }
    ExtendedChain chain;
    std::array<std::byte, mbr_size> sector{};
    for (std::uint64_t at = extended.start;;) {
        const std::uint64_t offset = at * sector_size;
        if (std::find(chain.records.begin(), chain.records.end(), offset) != chain.records.end()) {
            damaged(disk, fmt::format("its chain of boot records comes back to byte {}", offset));
        }
        if (chain.records.size() == max_logical) {
            throw Error(
                ErrorCode::unsupported,
                fmt::format("The extended partition of {} holds more than {} logical partitions, more than "
                            "can be numbered.",
                            disk.name(), max_logical),
                Reason::table_not_supported);
        }
        disk.read(offset, sector);
        const Mbr record = parse_mbr(sector);
        const bool blank =
            std::all_of(sector.begin(), sector.end(), [](std::byte b) { return b == std::byte{0}; });
        if (!record.signature && !(blank && chain.records.empty())) {
            damaged(disk, fmt::format("the boot record at byte {} has no signature", offset));
        }
        chain.records.push_back(offset);

        const MbrEntry* data =
            single_entry(disk, record, offset, [](const MbrEntry& entry) { return !entry.extended(); });
        if (data != nullptr) {
            if (data->type == 0) {
                damaged(disk,
                        fmt::format("the entry in the boot record at byte {} has a size but no type", offset));
            }
            if (at + data->start >= end || data->count > end - at - data->start) {
                damaged(disk,
                        fmt::format("the logical partition of the boot record at byte {} leaves it", offset));
            }
            ++chain.logical;
        }
        const MbrEntry* link =
            single_entry(disk, record, offset, [](const MbrEntry& entry) { return entry.extended(); });
        if (link == nullptr) {
            return chain;
        }
        if (link->start >= extended.count) {
            damaged(disk, fmt::format("the boot record at byte {} points out of it", offset));
        }
        at = extended.start + link->start;
    }
}

} // namespace disktool
