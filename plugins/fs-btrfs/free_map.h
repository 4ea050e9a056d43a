// SPDX-License-Identifier: LGPL-2.1-or-later
// The free space of the device.
#pragma once

#include "chunk_map.h"
#include "free_space.h"
#include "superblock.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <cstdint>
#include <span>
#include <vector>

namespace disktool::btrfs {

/// Throws damage unless each chunk has as much free as its block group says: length - used.
void check_free_space(const FreeSpace& free, const ChunkMap& chunks, std::span<const std::uint64_t> used,
                      const BlockDevice& device);
/// Unallocated space, and every copy of what is free in a chunk; without the reserved places, which the trees
/// call free.
ExtentSet free_map(const FreeSpace& free, const Superblock& super, const ChunkMap& chunks);
/// Its total, from the block groups' figures alone.
std::uint64_t free_bytes(const Superblock& super, const ChunkMap& chunks, std::span<const std::uint64_t> used);

} // namespace disktool::btrfs
