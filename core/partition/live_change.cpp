// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/live_change.h"

#include "partition/gpt.h"
#include "partition/mbr.h"

#include <algorithm>
#include <array>
#include <functional>

namespace disktool {

namespace {

class PatchWriter {
  public:
    PatchWriter(BlockDevice& disk, const std::vector<Patch>& patches) : disk_(disk), patches_(patches) {}

    /// What of the patches lies in the range, then a flush if that was anything.
    void write(Range range) {
        bool any = false;
        for (const Patch& patch : patches_) {
            const std::uint64_t from = std::max(patch.offset, range.offset);
            const std::uint64_t to = std::min(patch.offset + patch.data.size(), range.end());
            if (from < to) {
                disk_.write(from, std::span(patch.data).subspan(from - patch.offset, to - from));
                any = true;
            }
        }
        if (any) {
            disk_.flush();
        }
    }

  private:
    BlockDevice& disk_;
    const std::vector<Patch>& patches_;
};

bool primary_is_good(BlockDevice& disk) {
    std::array<std::byte, mbr_size> sector{};
    disk.read(0, sector);
    return find_gpt(disk, parse_mbr(sector).protective_end().value_or(0)).primary.intact();
}

} // namespace

void change_table_in_place(BlockDevice& disk, const PartitionTable& table, const TableChange& change) {
    const std::vector<Patch> patches = table_patches(disk, table, change);
    PatchWriter writer(disk, patches);
    const std::uint64_t size = change.disk_size;
    if (table.type != TableType::gpt) {
        // From the front: what holds a partition grows before the partition does.
        for (const Patch& patch : patches) {
            for (std::uint64_t at = 0; at < patch.data.size(); at += table.sector_size) {
                writer.write({patch.offset + at, table.sector_size});
            }
        }
        return;
    }
    const std::uint64_t tail = std::min(table.tail, size);
    const Range backup{size - tail, tail};
    std::uint64_t first = backup.offset;
    for (const Partition& partition : table.partitions) {
        first = std::min(first, partition.range.offset);
    }
    const std::uint64_t sector = table.sector_size;
    const Range primary{sector, first - std::min(first, sector)};
    const bool by_primary = primary_is_good(disk);
    writer.write(by_primary ? backup : primary);
    writer.write(by_primary ? primary : backup);
    writer.write({0, sector});                                    // the protective MBR
    writer.write({primary.end(), backup.offset - primary.end()}); // zeros over the old backup
}

} // namespace disktool
