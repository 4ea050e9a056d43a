// SPDX-License-Identifier: LGPL-2.1-or-later
// A GPT on a disk that gets a new end. Edited by ourselves: only the few fields that must change do, so that
// UUIDs, names, attributes, reserved bytes and boot code stay without being carried over (docs/partitions.md).
#include "partition/gpt.h"
#include "partition/little_endian.h"
#include "partition/mbr.h"
#include "partition/table.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

namespace disktool {
namespace {

constexpr std::uint64_t min_entries_reserve = 16 * KiB; // UEFI 2.10, 5.3.1: at least that much for an array

/// Sectors to be written, later ones in place of earlier ones.
class SectorWrites {
  public:
    explicit SectorWrites(std::uint32_t sector_size) : sector_size_(sector_size) {}

    /// Whole sectors.
    void put(std::uint64_t offset, std::span<const std::byte> data) {
        for (std::size_t at = 0; at < data.size(); at += sector_size_) {
            const auto sector = data.subspan(at, sector_size_);
            sectors_[offset + at].assign(sector.begin(), sector.end());
        }
    }
    void put_zeros(Range range) { put(range.offset, std::vector<std::byte>(range.length)); }

    /// Without those that the disk holds already. What lies beyond its present end is always written: nobody
    /// knows what a format shows there once the disk has grown.
    std::vector<Patch> changed(BlockDevice& disk) const {
        std::vector<Patch> patches;
        std::vector<std::byte> old(sector_size_);
        for (const auto& [offset, data] : sectors_) {
            if (offset + sector_size_ <= disk.size()) {
                disk.read(offset, old);
                if (old == data) {
                    continue;
                }
            }
            if (patches.empty() || patches.back().offset + patches.back().data.size() != offset) {
                patches.push_back({offset, {}});
            }
            patches.back().data.insert(patches.back().data.end(), data.begin(), data.end());
        }
        return patches;
    }

  private:
    std::uint32_t sector_size_;
    std::map<std::uint64_t, std::vector<std::byte>> sectors_; ///< by offset
};

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
    const std::uint64_t reserve =
        std::max(good.entries_sectors, divide_up(min_entries_reserve, good.sector_size));
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

void check_room(const BlockDevice& disk, const PartitionTable& table, const Gpt& gpt, const Layout& layout) {
    const std::uint32_t sector_size = table.sector_size;
    const std::uint64_t usable_end = (layout.last_usable() + 1) * sector_size;
    const Partition* last = table.last();
    if (last != nullptr && last->range.end() > usable_end) {
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("The backup partition table of {} needs the bytes from {} on, but partition {} ends "
                        "only at {}. Choose a size that is at least {} bytes larger.",
                        disk.name(), usable_end, last->number, last->range.end(),
                        last->range.end() - usable_end),
            Reason::last_partition_end);
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

std::vector<std::byte> header_for(const GptCopy& good, const Layout& layout, std::uint64_t my_lba,
                                  std::uint64_t alternate_lba, std::uint64_t entries_lba) {
    std::vector<std::byte> header = good.header;
    store_le(header, gpt_field::my_lba, my_lba);
    store_le(header, gpt_field::alternate_lba, alternate_lba);
    store_le(header, gpt_field::entries_lba, entries_lba);
    store_le(header, gpt_field::last_usable, layout.last_usable());
    seal_gpt_header(header, std::span(good.entries).first(gpt_entries_length(good.header)));
    return header;
}

/// A backup that stayed behind in the middle of the disk would still pass for one. (It lies in no partition:
/// read_partition_table refuses such a table.)
void erase_old_backup(const GptCopy& backup, SectorWrites& writes) {
    if (backup.intact()) {
        writes.put_zeros(backup.header_range());
        writes.put_zeros(backup.entries_range());
    }
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

std::vector<Patch> table_patches_for_growth(BlockDevice& disk, const PartitionTable& table,
                                            std::uint64_t new_size) {
    if (new_size < disk.size()) {
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("The partition table of {} can follow the disk only to a larger size than its present "
                        "{} bytes.",
                        disk.name(), disk.size()),
            Reason::would_shrink);
    }
    if (table.type != TableType::gpt) {
        return {};
    }
    std::array<std::byte, mbr_size> sector{};
    disk.read(0, sector);
    const Gpt gpt = find_gpt(disk, parse_mbr(sector).protective_end().value_or(0));
    if (!gpt.readable() || gpt.good().sector_size != table.sector_size) {
        throw Error(ErrorCode::failure,
                    fmt::format("The partition table of {} has changed since it was read.", disk.name()));
    }
    const GptCopy& good = gpt.good();
    const Layout layout = lay_out(disk, gpt, new_size);
    check_room(disk, table, gpt, layout);

    SectorWrites writes(table.sector_size);
    erase_old_backup(gpt.backup, writes);
    extend_protective(disk, layout.backup_lba, writes, table.sector_size);
    writes.put(table.sector_size, header_for(good, layout, 1, layout.backup_lba, layout.primary_entries_lba));
    writes.put(layout.primary_entries_lba * table.sector_size, good.entries);
    writes.put(layout.backup_entries_lba * table.sector_size, good.entries);
    writes.put(layout.backup_lba * table.sector_size,
               header_for(good, layout, layout.backup_lba, 1, layout.backup_entries_lba));
    return writes.changed(disk);
}

} // namespace disktool
