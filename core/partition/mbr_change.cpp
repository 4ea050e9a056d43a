// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/mbr_change.h"

#include "partition/little_endian.h"
#include "partition/mbr.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace disktool {
namespace {

/// The geometry that BIOSes and partitioning tools pretend, and the last address it can express.
constexpr std::uint64_t heads = 255;
constexpr std::uint64_t sectors_per_track = 63;
constexpr std::uint64_t last_cylinder = 1023;

[[noreturn]] void changed_meanwhile(const BlockDevice& disk) {
    throw Error(ErrorCode::failure,
                fmt::format("The partition table of {} has changed since it was read.", disk.name()));
}

/// One boot record (the MBR or an EBR) as it is to be.
class Record {
  public:
    Record(BlockDevice& disk, std::uint64_t offset, std::uint32_t sector_size)
        : disk_(disk), offset_(offset), sector_size_(sector_size), bytes_(sector_size) {
        disk.read(offset, bytes_);
    }

    std::uint64_t lba() const { return offset_ / sector_size_; }
    MbrEntry entry(std::size_t index) const { return parse_mbr(bytes_).entries[index]; }
    /// Index of the entry for which `wanted` holds, of those that are in use; throws where there is none.
    template <typename Predicate>
    std::size_t find(Predicate wanted) const {
        for (std::size_t i = 0; i < 4; ++i) {
            const MbrEntry found = entry(i);
            if (found.count != 0 && wanted(found)) {
                return i;
            }
        }
        changed_meanwhile(disk_);
    }
    /// `base` is the sector from which the entry's start counts.
    void set_count(std::size_t index, std::uint64_t base, std::uint64_t count) {
        if (count == entry(index).count) {
            return;
        }
        if (count == 0 || count > std::numeric_limits<std::uint32_t>::max()) {
            throw Error(ErrorCode::size_impossible,
                        fmt::format("The MBR partition table of {} cannot hold a partition of {} sectors; it "
                                    "counts them in 32 bits. Convert the disk to GPT in the guest.",
                                    disk_.name(), count),
                        Reason::size_too_large);
        }
        const std::size_t at = mbr_entries_offset + index * mbr_entry_size;
        store_le(std::span(bytes_), at + 12, static_cast<std::uint32_t>(count));
        set_end_address(at + 5, base + entry(index).start + count - 1);
    }
    void put(SectorWrites& writes) const { writes.put(offset_, bytes_); }

  private:
    /// Cylinder, head and sector, which nobody reads any more but some check against the count.
    void set_end_address(std::size_t at, std::uint64_t lba) {
        std::uint64_t cylinder = lba / (heads * sectors_per_track);
        std::uint64_t head = lba / sectors_per_track % heads;
        std::uint64_t sector = lba % sectors_per_track + 1;
        if (cylinder > last_cylinder) {
            cylinder = last_cylinder;
            head = heads - 1;
            sector = sectors_per_track;
        }
        bytes_[at] = static_cast<std::byte>(head);
        bytes_[at + 1] = static_cast<std::byte>(sector | (cylinder >> 2 & 0xc0));
        bytes_[at + 2] = static_cast<std::byte>(cylinder & 0xff);
    }

    BlockDevice& disk_;
    std::uint64_t offset_;
    std::uint32_t sector_size_;
    std::vector<std::byte> bytes_;
};

/// The boot record of the logical partition that starts at `start`, and the link that leads there.
void change_logical(BlockDevice& disk, const MbrEntry& extended, std::uint64_t start, std::uint64_t count,
                    std::uint32_t sector_size, SectorWrites& writes) {
    std::optional<Record> previous;
    for (const std::uint64_t offset : walk_extended(disk, extended, sector_size).records) {
        Record record(disk, offset, sector_size);
        for (std::size_t i = 0; i < 4; ++i) {
            const MbrEntry entry = record.entry(i);
            if (entry.count == 0 || entry.extended() || record.lba() + entry.start != start) {
                continue;
            }
            record.set_count(i, record.lba(), count);
            record.put(writes);
            if (previous) {
                const std::size_t link = previous->find([&](const MbrEntry& candidate) {
                    return candidate.extended() && extended.start + candidate.start == record.lba();
                });
                previous->set_count(link, extended.start, start - record.lba() + count);
                previous->put(writes);
            }
            return;
        }
        previous.emplace(std::move(record));
    }
    changed_meanwhile(disk);
}

/// Where the extended partition must end so that it holds all its logical ones as they are to be, sectors.
std::uint64_t logical_end(const PartitionTable& table, const TableChange& change) {
    std::uint64_t end = 0;
    for (const Partition& partition : table.partitions) {
        if (partition.logical) {
            end = std::max(end,
                           partition.number == change.partition ? change.partition_end : partition.range.end());
        }
    }
    return end / table.sector_size;
}

} // namespace

void change_mbr(BlockDevice& disk, const PartitionTable& table, const TableChange& change,
                SectorWrites& writes) {
    const std::uint32_t sector_size = table.sector_size;
    const Partition* partition = table.find(change.partition);
    Record master(disk, 0, sector_size);
    if (partition != nullptr) {
        const std::uint64_t start = partition->range.offset / sector_size;
        const std::uint64_t count = change.partition_end / sector_size - start;
        if (partition->logical) {
            const std::size_t index = master.find([](const MbrEntry& entry) { return entry.extended(); });
            change_logical(disk, master.entry(index), start, count, sector_size, writes);
        } else {
            master.set_count(master.find([&](const MbrEntry& entry) { return entry.start == start; }), 0,
                             count);
        }
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const MbrEntry extended = master.entry(i);
        if (extended.count == 0 || !extended.extended()) {
            continue;
        }
        const std::uint64_t needed = std::max(logical_end(table, change), extended.start + 1);
        const std::uint64_t old_end = extended.start + extended.count;
        const bool follows = partition != nullptr && partition->logical;
        std::uint64_t end = std::max(old_end, needed);
        if (end > change.disk_size / sector_size ||
            (follows && change.partition_end < partition->range.end())) {
            end = needed;
        }
        master.set_count(i, 0, end - extended.start);
    }
    master.put(writes);
}

} // namespace disktool
