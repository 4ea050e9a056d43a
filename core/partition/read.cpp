// SPDX-License-Identifier: LGPL-2.1-or-later
// Which table a disk has, whether it can be trusted, and what it says.
#include "partition/fdisk_reader.h"
#include "partition/gpt.h"
#include "partition/gpt_change.h"
#include "partition/mbr.h"
#include "partition/sparse_copy.h"
#include "partition/table.h"

#include <disktool/devices.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace disktool {
namespace {

[[noreturn]] void damaged(const BlockDevice& disk, const std::string& what) {
    throw Error(
        ErrorCode::damaged,
        fmt::format(
            "The partition table of {} cannot be trusted: {}. Repair it (fdisk, gdisk, testdisk) before "
            "working on this disk.",
            disk.name(), what),
        Reason::table_damaged);
}

/// File systems whose own first sector ends with an MBR's signature.
bool has_mbr_signature(const std::optional<std::string>& content) {
    constexpr std::array<std::string_view, 5> types{"vfat", "exfat", "ntfs", "hpfs", "BitLocker"};
    return content && std::find(types.begin(), types.end(), *content) != types.end();
}

/// Throws where two of `places` share a byte.
void check_overlap(const BlockDevice& disk, std::vector<const Partition*> places) {
    std::sort(places.begin(), places.end(),
              [](const Partition* a, const Partition* b) { return a->range.offset < b->range.offset; });
    for (std::size_t i = 1; i < places.size(); ++i) {
        const Partition& a = *places[i - 1];
        const Partition& b = *places[i];
        if (b.range.offset < a.range.end()) {
            throw Error(
                ErrorCode::damaged,
                fmt::format("Partitions {} (bytes {} to {}) and {} (bytes {} to {}) of {} overlap. Repair the "
                            "partition table before working on this disk.",
                            a.number, a.range.offset, a.range.end(), b.number, b.range.offset, b.range.end(),
                            disk.name()),
                Reason::partitions_overlap);
        }
    }
}

void check_places(const BlockDevice& disk, const PartitionTable& table) {
    std::vector<const Partition*> outer;   // what the table's first level holds
    std::vector<const Partition*> content; // what holds guest data
    for (const Partition& partition : table.partitions) {
        if (!partition.logical) {
            outer.push_back(&partition);
        }
        if (!partition.extended) {
            content.push_back(&partition);
        }
    }
    check_overlap(disk, std::move(outer));
    check_overlap(disk, content);
    for (const Partition* partition : content) {
        if (table.areas.intersects(partition->range)) {
            damaged(disk, fmt::format("partition {} (bytes {} to {}) lies over the table itself",
                                      partition->number, partition->range.offset, partition->range.end()));
        }
    }
}

/// An MBR counts in sectors, and does not say how large they are. Sectors of 4096 bytes are believed where the
/// table fits the disk with them, and only with them the partitions start with something known.
std::uint32_t mbr_sector_size(BlockDevice& disk, const Mbr& mbr) {
    constexpr std::uint32_t small = 512;
    constexpr std::uint32_t large = 4096;
    const auto known_with = [&](std::uint32_t sector_size) {
        return std::any_of(mbr.entries.begin(), mbr.entries.end(), [&](const MbrEntry& entry) {
            if (entry.count == 0) {
                return false;
            }
            Window place(disk, {entry.start * sector_size, entry.count * sector_size}, disk.name());
            if (!entry.extended()) {
                return identify_content(place).has_value();
            }
            std::array<std::byte, mbr_size> record{};
            place.read(0, record);
            return parse_mbr(record).signature;
        });
    };
    for (const MbrEntry& entry : mbr.entries) {
        if (entry.start + entry.count > disk.size() / large) {
            return small;
        }
    }
    return !known_with(small) && known_with(large) ? large : small;
}

PartitionTable read_mbr(BlockDevice& disk, const Mbr& mbr) {
    PartitionTable table;
    table.type = TableType::mbr;
    table.sector_size = mbr_sector_size(disk, mbr);
    SparseCopy copy(disk, disk.size());
    copy.copy({0, table.sector_size});
    std::vector<Range> areas{{0, std::min<std::uint64_t>(table.sector_size, disk.size())}};
    std::size_t expected = 0;
    const MbrEntry* extended = nullptr;
    for (const MbrEntry& entry : mbr.entries) {
        if (entry.count == 0) {
            continue;
        }
        if (entry.type == 0) {
            damaged(disk, "an entry has a size but no type");
        }
        ++expected;
        if (!entry.extended()) {
            continue;
        }
        if (extended != nullptr) {
            throw Error(ErrorCode::unsupported,
                        fmt::format("The partition table of {} has several extended partitions; only one is "
                                    "supported.",
                                    disk.name()),
                        Reason::table_not_supported);
        }
        extended = &entry;
    }
    if (extended != nullptr) {
        const ExtendedChain chain = walk_extended(disk, *extended, table.sector_size);
        expected += chain.logical;
        for (const std::uint64_t record : chain.records) {
            areas.push_back({record, table.sector_size});
            copy.copy(areas.back());
        }
    }
    table.areas = ExtentSet::from_unsorted(std::move(areas));
    read_by_libfdisk(disk, copy, expected, table);
    check_places(disk, table);
    return table;
}

std::string gpt_damage(const BlockDevice& disk, const Gpt& gpt) {
    const auto place = [](const GptCopy& part) {
        return part.header.empty() ? std::string() : fmt::format(" at byte {}", part.offset());
    };
    return fmt::format("the primary GPT{} of {} is damaged ({}) and the backup{} too ({})", place(gpt.primary),
                       disk.name(), gpt.primary.problem, place(gpt.backup), gpt.backup.problem);
}

void warn_of_gpt(const BlockDevice& disk, const Gpt& gpt, const Mbr& mbr, PartitionTable& table) {
    const auto warn = [&](std::string sentence) { table.warnings.push_back(std::move(sentence)); };
    const GptCopy& primary = gpt.primary;
    const GptCopy& backup = gpt.backup;
    if (!primary.intact()) {
        warn(fmt::format("The primary GPT at byte {} of {} is damaged ({}); the backup at byte {} is used.",
                         primary.offset(), disk.name(), primary.problem, backup.offset()));
    } else if (!backup.intact()) {
        warn(fmt::format("The backup GPT at byte {} of {} is damaged ({}); the primary is used.",
                         backup.offset(), disk.name(), backup.problem));
    } else if (!primary.agrees_with(backup)) {
        warn(fmt::format("The backup GPT at byte {} of {} differs from the primary; the primary is used.",
                         backup.offset(), disk.name()));
    }
    if (!table.backup_at_end) {
        warn(fmt::format(
            "The backup GPT of {} belongs at byte {}, which is not the last sector: the disk's size has "
            "changed since.",
            disk.name(), primary.intact() ? primary.alternate_lba * table.sector_size : backup.offset()));
    }
    if (std::any_of(mbr.entries.begin(), mbr.entries.end(),
                    [](const MbrEntry& entry) { return entry.used() && !entry.protective(); })) {
        warn(fmt::format("{} has a hybrid MBR beside its GPT; only the GPT is used.", disk.name()));
    }
}

PartitionTable read_gpt(BlockDevice& disk, const Gpt& gpt, const Mbr& mbr) {
    const GptCopy& good = gpt.good();
    const std::uint64_t sectors = disk.size() / good.sector_size;
    const std::uint64_t backup_lba = gpt.primary.intact() ? good.alternate_lba : good.lba;
    PartitionTable table;
    table.type = TableType::gpt;
    table.sector_size = good.sector_size;
    table.backup_at_end = backup_lba == sectors - 1;
    table.tail = gpt_tail(good.sector_size, good.entries_sectors);

    // libfdisk looks for the backup in the last sector only, and refuses a table that is larger than the disk:
    // it gets a disk of the size that the table was made for. Partitions beyond the real end are found
    // afterwards.
    std::uint64_t seen_sectors = backup_lba + 1;
    if (gpt.primary.intact()) {
        seen_sectors = std::max({seen_sectors, sectors, good.last_usable + 1});
    }
    SparseCopy copy(disk, seen_sectors * good.sector_size);
    std::vector<Range> areas{{0, good.sector_size}};
    copy.copy(areas.front());
    for (const GptCopy* part : {&gpt.primary, &gpt.backup}) {
        if (!part->intact()) {
            continue;
        }
        for (const Range range : {part->header_range(), part->entries_range()}) {
            areas.push_back(range);
            copy.copy(range);
        }
    }
    table.areas = ExtentSet::from_unsorted(std::move(areas));
    read_by_libfdisk(disk, copy, good.used_entries, table);
    check_places(disk, table);
    warn_of_gpt(disk, gpt, mbr, table);
    return table;
}

} // namespace

PartitionTable read_partition_table(BlockDevice& disk) {
    std::array<std::byte, mbr_size> sector{};
    if (disk.size() < sector.size()) {
        return {};
    }
    disk.read(0, sector);
    const Mbr mbr = parse_mbr(sector);
    const std::optional<std::uint64_t> protective_end = mbr.protective_end();
    const Gpt gpt = find_gpt(disk, protective_end.value_or(0));
    if (protective_end && gpt.readable()) {
        return read_gpt(disk, gpt, mbr);
    }

    const std::optional<std::string> content = identify_content(disk);
    if (has_mbr_signature(content)) {
        return {};
    }
    if (protective_end && mbr.plausible()) {
        damaged(disk, gpt_damage(disk, gpt));
    }
    const bool has_entries = mbr.plausible() && !mbr.empty();
    const bool covers_itself = std::any_of(mbr.entries.begin(), mbr.entries.end(), [](const MbrEntry& entry) {
        return entry.count != 0 && entry.start == 0;
    });
    // A partition from sector 0 on is how bootable ISO images describe themselves to a BIOS.
    if (content && (!has_entries || covers_itself)) {
        return {};
    }
    if (!has_entries && gpt.primary.intact()) {
        damaged(disk, fmt::format("there is a GPT at byte {}, but no protective MBR in the first sector",
                                  gpt.primary.offset()));
    }
    if (!mbr.plausible()) {
        return {};
    }
    PartitionTable table = read_mbr(disk, mbr);
    if (gpt.primary.intact()) {
        table.warnings.push_back(
            fmt::format("A GPT is left over at byte {} of {}; the MBR does not point to it, so "
                        "it is not used.",
                        gpt.primary.offset(), disk.name()));
    }
    return table;
}

} // namespace disktool
