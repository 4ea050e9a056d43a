// SPDX-License-Identifier: LGPL-2.1-or-later
// The boot sector of FAT12, FAT16 and FAT32: where the tables and the clusters lie.
//
// Format: Microsoft, "FAT File System Specification" (fatgen103), sections 3 and 4; ECMA-107. The volume flag
// "dirty" that Windows NT and Linux keep in the boot sector (byte 37 or 65): fs/fat/inode.c.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::fat {

/// Sizes and offsets in bytes. All of it lies within total_size, which a check against the device must follow.
struct FatGeometry {
    int bits = 0; ///< 12, 16 or 32
    std::uint32_t sector_size = 0;
    std::uint32_t cluster_size = 0;
    std::uint64_t total_size = 0;
    std::uint64_t table = 0; ///< where the first FAT starts
    std::uint64_t table_size = 0;
    std::uint32_t tables = 0;
    std::uint64_t root = 0; ///< the root directory of FAT12 and FAT16
    std::uint64_t root_size = 0;
    std::uint32_t root_cluster = 0; ///< of FAT32
    std::uint64_t data = 0;         ///< where cluster 2 starts
    std::uint32_t clusters = 0;     ///< as many as the FAT has entries for
    /// FAT32 may keep only one of its tables up to date.
    std::optional<std::uint32_t> active_table;
    std::uint64_t info_sector = 0; ///< FSInfo of FAT32; 0: none
    std::uint8_t media = 0;
    bool dirty = false; ///< the flag in the boot sector
    std::uint32_t serial = 0;
    std::string label; ///< of the boot sector; empty for "NO NAME"

    std::uint64_t cluster_offset(std::uint32_t cluster) const {
        return data + std::uint64_t{cluster - 2} * cluster_size;
    }
    /// Cluster numbers go from 2 to this, without it.
    std::uint32_t cluster_end() const { return clusters + 2; }
};

/// None where the fields make no sense together, so that it is something else (boot sectors of other kinds have
/// the same signature).
std::optional<FatGeometry> read_geometry(BlockDevice& device);

} // namespace disktool::fat
