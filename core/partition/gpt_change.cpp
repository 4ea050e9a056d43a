// SPDX-License-Identifier: LGPL-2.1-or-later
// A GPT on a disk that gets a new end. Edited by ourselves: only the few fields that must change do, so that
// UUIDs, names, attributes, reserved bytes and boot code stay without being carried over (docs/partitions.md).
#include "partition/gpt_change.h"

#include "partition/gpt.h"
#include "partition/little_endian.h"
#include "partition/mbr.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace disktool {
namespace {

constexpr std::uint64_t min_entries_reserve = 16 * KiB; // UEFI 2.10, 5.3.1: at least that much for an array

/// Where everything goes, in sectors.
struct Layout {
    std::uint64_t backup_lba;
    std::uint64_t backup_entries_lba;
    std::uint64_t primary_entries_lba;
    std::uint64_t entries_sectors;

    std::uint64_t last_usable() const { return backup_entries_lba - 1; }
};

/// The array of a primary whose header is lost: where it still lies, as the backup's checksum tells, or in its
/// usual place.
std::uint64_t lost_primary_entries(BlockDevice& disk, const GptCopy& backup) {
    std::vector<std::byte> bytes(backup.entries.size());
    for (const std::uint64_t lba : {std::uint64_t{2}, backup.first_usable - backup.entries_sectors}) {
        if (lba < 2 || lba >= backup.first_usable || backup.entries_sectors > backup.first_usable - lba) {
            continue;
        }
        disk.read(lba * backup.sector_size, bytes);
        if (bytes == backup.entries) {
            return lba;
        }
    }
    return 2;
}

Layout lay_out(BlockDevice& disk, const Gpt& gpt, std::uint64_t new_size) {
    const GptCopy& good = gpt.good();
    const std::uint64_t sectors = new_size / good.sector_size;
    const std::uint64_t reserve = gpt_tail(good.sector_size, good.entries_sectors) / good.sector_size - 1;
    if (sectors < good.first_usable + reserve + 2) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("A disk of {} bytes has no room for the backup partition table of {}.",
                                new_size, disk.name()),
                    Reason::last_partition_end);
    }
    Layout layout{};
    layout.entries_sectors = good.entries_sectors;
    layout.backup_lba = sectors - 1;
    layout.backup_entries_lba = layout.backup_lba - reserve;
    layout.primary_entries_lba = gpt.primary.intact() ? good.entries_lba : lost_primary_entries(disk, good);
    return layout;
}

void check_room(const BlockDevice& disk, const PartitionTable& table, const TableChange& change, const Gpt& gpt,
                const Layout& layout) {
    const std::uint32_t sector_size = table.sector_size;
    const std::uint64_t usable_end = (layout.last_usable() + 1) * sector_size;
    for (const Partition& partition : table.partitions) {
        const std::uint64_t end =
            partition.number == change.partition ? change.partition_end : partition.range.end();
        if (end > usable_end) {
            throw Error(
                ErrorCode::size_impossible,
                fmt::format(
                    "The backup partition table of {} needs the bytes from {} on, but partition {} ends "
                    "only at {}. Choose a size that is at least {} bytes larger.",
                    disk.name(), usable_end, partition.number, end, end - usable_end),
                Reason::last_partition_end);
        }
    }
    const std::uint64_t first_usable = gpt.good().first_usable;
    const bool early = std::any_of(table.partitions.begin(), table.partitions.end(), [&](const Partition& p) {
        return p.range.offset < first_usable * sector_size;
    });
    if (early || layout.primary_entries_lba + layout.entries_sectors > first_usable) {
        throw Error(ErrorCode::damaged,
                    fmt::format("The primary GPT of {} cannot be written: {} not lie on its side of the first "
                                "usable sector, {}. Repair the table (gdisk) first.",
                                disk.name(), early ? "a partition does" : "its entries would", first_usable),
                    Reason::table_damaged);
    }
}

std::vector<std::byte> header_for(const GptCopy& good, std::span<const std::byte> entries, const Layout& layout,
                                  std::uint64_t my_lba, std::uint64_t alternate_lba,
                                  std::uint64_t entries_lba) {
    std::vector<std::byte> header = good.header;
    store_le(header, gpt_field::my_lba, my_lba);
    store_le(header, gpt_field::alternate_lba, alternate_lba);
    store_le(header, gpt_field::entries_lba, entries_lba);
    store_le(header, gpt_field::last_usable, layout.last_usable());
    seal_gpt_header(header, entries.first(gpt_entries_length(good.header)));
    return header;
}

/// A backup that stayed behind in the middle of the disk would still pass for one. (It lies in no partition:
/// read_partition_table refuses such a table.)
void erase_old_backup(const GptCopy& backup, std::uint64_t new_size, SectorWrites& writes) {
    for (const Range range : {backup.header_range(), backup.entries_range()}) {
        if (backup.intact() && range.offset < new_size) {
            writes.put_zeros({range.offset, std::min(range.length, new_size - range.offset)});
        }
    }
}

/// UEFI 2.10, 5.3.3: an entry holds its first sector at 32 and its last one, inclusive, at 40.
std::vector<std::byte> entries_for(const BlockDevice& disk, const PartitionTable& table,
                                   const TableChange& change, const GptCopy& good) {
    std::vector<std::byte> entries = good.entries;
    const Partition* partition = table.find(change.partition);
    if (partition == nullptr) {
        return entries;
    }
    const std::size_t entry_size = load_le<std::uint32_t>(std::span(good.header), gpt_field::entry_size);
    const std::size_t at = static_cast<std::size_t>(change.partition - 1) * entry_size;
    if (at + entry_size > entries.size() ||
        load_le<std::uint64_t>(std::span(entries), at + 32) * table.sector_size != partition->range.offset) {
        throw Error(ErrorCode::failure,
                    fmt::format("The partition table of {} has changed since it was read.", disk.name()));
    }
    store_le(std::span(entries), at + 40, change.partition_end / table.sector_size - 1);
    return entries;
}

/// Lets the protective entry reach the new end. In a hybrid MBR it covers only what the other entries leave.
void extend_protective(BlockDevice& disk, std::uint64_t last_lba, SectorWrites& writes,
                       std::uint32_t sector_size) {
    std::vector<std::byte> sector(sector_size);
    disk.read(0, sector);
    const Mbr mbr = parse_mbr(sector);
    const auto used = [](const MbrEntry& entry) { return entry.used(); };
    if (std::count_if(mbr.entries.begin(), mbr.entries.end(), used) != 1) {
        return;
    }
    const auto entry = std::find_if(mbr.entries.begin(), mbr.entries.end(), used);
    const auto index = static_cast<std::size_t>(entry - mbr.entries.begin());
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    store_le(std::span(sector), mbr_entries_offset + index * mbr_entry_size + 12,
             static_cast<std::uint32_t>(std::min(last_lba, most)));
    writes.put(0, sector);
}

} // namespace

void change_gpt(BlockDevice& disk, const PartitionTable& table, const TableChange& change,
                SectorWrites& writes) {
    std::array<std::byte, mbr_size> sector{};
    disk.read(0, sector);
    const Gpt gpt = find_gpt(disk, parse_mbr(sector).protective_end().value_or(0));
    if (!gpt.readable() || gpt.good().sector_size != table.sector_size) {
        throw Error(ErrorCode::failure,
                    fmt::format("The partition table of {} has changed since it was read.", disk.name()));
    }
    const GptCopy& good = gpt.good();
    const Layout layout = lay_out(disk, gpt, change.disk_size);
    check_room(disk, table, change, gpt, layout);
    const std::vector<std::byte> entries = entries_for(disk, table, change, good);

    erase_old_backup(gpt.backup, change.disk_size, writes);
    extend_protective(disk, layout.backup_lba, writes, table.sector_size);
    writes.put(table.sector_size,
               header_for(good, entries, layout, 1, layout.backup_lba, layout.primary_entries_lba));
    writes.put(layout.primary_entries_lba * table.sector_size, entries);
    writes.put(layout.backup_entries_lba * table.sector_size, entries);
    writes.put(layout.backup_lba * table.sector_size,
               header_for(good, entries, layout, layout.backup_lba, 1, layout.backup_entries_lba));
}

std::uint64_t gpt_tail(std::uint32_t sector_size, std::uint64_t entries_sectors) {
    return (1 + std::max(entries_sectors, divide_up(min_entries_reserve, sector_size))) * sector_size;
}

} // namespace disktool
