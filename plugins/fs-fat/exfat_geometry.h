// SPDX-License-Identifier: LGPL-2.1-or-later
// The boot region of exFAT: where the table, the clusters and the root directory lie.
//
// Format: Microsoft, "exFAT file system specification", sections 3.1 (boot sector) and 3.4 (checksum).
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <string>

namespace disktool::fat {

/// Sizes and offsets in bytes. Everything lies within total_size.
struct ExfatGeometry {
    std::uint32_t sector_size = 0;
    std::uint64_t cluster_size = 0;
    std::uint64_t total_size = 0;
    std::uint64_t table = 0;
    std::uint64_t table_size = 0;
    std::uint32_t tables = 0; ///< 2: TexFAT
    std::uint64_t data = 0;   ///< where cluster 2 starts
    std::uint32_t clusters = 0;
    std::uint32_t root_cluster = 0;
    std::uint32_t serial = 0;
    std::uint16_t revision = 0; ///< 0x0100
    bool dirty = false;
    bool media_failure = false;
    std::string defect; ///< half a sentence: why it cannot be relied on; empty: sound

    std::uint64_t cluster_offset(std::uint32_t cluster) const {
        return data + std::uint64_t{cluster - 2} * cluster_size;
    }
    std::uint32_t cluster_end() const { return clusters + 2; } ///< at most 0xfffffff7
};

/// Has the boot sector the name of exFAT?
bool is_exfat(BlockDevice& device);
/// Of a device with that name; the checksum of the boot region is part of what `defect` tells.
ExfatGeometry read_exfat_geometry(BlockDevice& device);

} // namespace disktool::fat
