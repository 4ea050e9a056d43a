// SPDX-License-Identifier: LGPL-2.1-or-later
// The file allocation table: one entry a cluster, of 12, 16 or 32 bits.
//
// Format: fatgen103, section 4. An entry of 0 is a free cluster. Entry 0 holds the media byte, entry 1 two
// flags (not in FAT12): shut down cleanly, no hard errors.
#pragma once

#include "fat_geometry.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <cstdint>
#include <optional>

namespace disktool::fat {

/// Reads entries through a window of 64 KiB. Refers to device and geometry, which must outlive it.
class FatTable {
  public:
    FatTable(BlockDevice& device, const FatGeometry& fat);

    /// `index` below the number of entries in the table. 32-bit ones without the four reserved bits.
    std::uint32_t entry(std::uint32_t index);
    bool shut_down_cleanly();
    bool had_hard_errors();
    /// Is cluster 0's entry the media byte, as it must be?
    bool media_matches();
    /// The cluster that follows; none at the end of a chain, and where the entry is no cluster.
    std::optional<std::uint32_t> next(std::uint32_t cluster);

    /// Free clusters, in bytes of the device. Reads every table that is kept up to date; throws damage where
    /// two differ. Memory: 2 MiB besides the result.
    ExtentSet free_clusters();

  private:
    std::uint64_t table_offset(std::uint32_t number) const { return fat_.table + number * fat_.table_size; }
    void compare(std::uint64_t offset, std::span<const std::byte> expected);

    BlockDevice& device_;
    const FatGeometry& fat_;
    std::uint64_t cached_at_ = ~0ull;
    std::vector<std::byte> cached_;
};

} // namespace disktool::fat
