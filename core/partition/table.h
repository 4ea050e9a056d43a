// SPDX-License-Identifier: LGPL-2.1-or-later
// The partition table of a disk: read, and moved with the disk's end.
#pragma once

#include <disktool/block_device.h>
#include <disktool/extents.h>
#include <disktool/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

enum class TableType { none, mbr, gpt };

struct Partition {
    int number = 0;   ///< as the table counts: 1.. ; logical ones from 5 (MBR)
    Range range;      ///< bytes of the disk
    std::string type; ///< "83" (MBR, hexadecimal) or a type GUID in upper case (GPT)
    std::string type_name;
    std::string name; ///< GPT
    std::string uuid; ///< GPT
    bool bootable = false;
    bool extended = false; ///< MBR: holds the logical ones, no content of its own
    bool logical = false;
};

struct PartitionTable {
    TableType type = TableType::none;
    std::string id;                    ///< disk GUID, or the MBR's disk id
    std::uint32_t sector_size = 512;   ///< bytes
    std::vector<Partition> partitions; ///< in the table's own order
    /// Sentences about damage that did not keep the table from being read: "the backup GPT at ... is damaged".
    std::vector<std::string> warnings;
    /// The bytes that hold the table itself: MBR sector, EBRs, both GPT headers and entry arrays.
    ExtentSet areas;
    /// Bytes that the table itself needs behind the last partition, at the disk's end.
    std::uint64_t tail = 0;
    /// GPT: the backup lies in the disk's last sector (false: the disk has grown since).
    bool backup_at_end = true;

    /// The partition that lies last on the disk (by place, not by number), extended ones left out.
    const Partition* last() const;
    /// By number; none for 0 and for one that there is not.
    const Partition* find(int number) const;
    /// "gpt", "mbr" or "none".
    std::string type_text() const;
};

/// Reads the table by libfdisk over a private sparse copy of the sectors it looks at; our own walk bounds the
/// chain of extended partitions. Never writes. Throws damaged for a table that is there but cannot be trusted:
/// both GPT copies damaged, partitions that overlap (Reason::partitions_overlap) or lie past the end of the
/// disk (Reason::partition_beyond_end), a looping extended chain. No table at all is TableType::none.
DISKTOOL_API PartitionTable read_partition_table(BlockDevice& disk);

/// A disk's new size and, where one changes, a partition's new end.
struct TableChange {
    std::uint64_t disk_size = 0;     ///< bytes
    int partition = 0;               ///< its number; 0: all keep their places
    std::uint64_t partition_end = 0; ///< bytes of the disk, a multiple of the sector size
};

/// What must be written so that the table tells of the change: for GPT both headers and arrays, the protective
/// MBR's length; for MBR the entry, the boot record of a logical partition with the link to it, the extended
/// partition. UUIDs, names, attributes and boot code stay. Where one copy of the GPT was damaged, both are
/// written whole. Nothing lies beyond the new end. Throws size_impossible where the table or a partition would
/// not fit (neighbours are the caller's affair).
DISKTOOL_API std::vector<Patch> table_patches(BlockDevice& disk, const PartitionTable& table,
                                              const TableChange& change);

/// What libblkid says that a partition or disk holds ("xfs", "LVM2_member", "crypto_LUKS", "swap"), for content
/// that no plugin knows. None: nothing that it knows.
DISKTOOL_API std::optional<std::string> identify_content(BlockDevice& device);

} // namespace disktool
