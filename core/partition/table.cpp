// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/table.h"

#include "partition/gpt_change.h"
#include "partition/mbr_change.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool {

const Partition* PartitionTable::last() const {
    const Partition* last = nullptr;
    for (const Partition& partition : partitions) {
        if (!partition.extended && (last == nullptr || partition.range.end() > last->range.end())) {
            last = &partition;
        }
    }
    return last;
}

const Partition* PartitionTable::find(int number) const {
    for (const Partition& partition : partitions) {
        if (partition.number == number) {
            return &partition;
        }
    }
    return nullptr;
}

std::vector<Patch> table_patches(BlockDevice& disk, const PartitionTable& table, const TableChange& change) {
    const auto end_of = [&](const Partition& partition) {
        return partition.number == change.partition ? change.partition_end : partition.range.end();
    };
    for (const Partition& partition : table.partitions) {
        if (!partition.extended && end_of(partition) > change.disk_size) {
            throw Error(
                ErrorCode::size_impossible,
                fmt::format("Partition {} of {} ends at byte {}, beyond the {} bytes that the disk would "
                            "have.",
                            partition.number, disk.name(), end_of(partition), change.disk_size),
                Reason::last_partition_end);
        }
    }
    SectorWrites writes(table.sector_size);
    switch (table.type) {
    case TableType::gpt:
        change_gpt(disk, table, change, writes);
        break;
    case TableType::mbr:
        change_mbr(disk, table, change, writes);
        break;
    case TableType::none:
        break;
    }
    return writes.changed(disk);
}

std::string PartitionTable::type_text() const {
    switch (type) {
    case TableType::gpt:
        return "gpt";
    case TableType::mbr:
        return "mbr";
    case TableType::none:
        break;
    }
    return "none";
}

} // namespace disktool
