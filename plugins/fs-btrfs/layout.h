// SPDX-License-Identifier: LGPL-2.1-or-later
// How the device is divided: the chunk tree, held against the device tree and the superblock.
#pragma once

#include "chunk_map.h"
#include "superblock.h"
#include "tree_reader.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <cstdint>
#include <vector>

namespace disktool::btrfs {

/// All chunks, by way of the superblock's array. Throws unsupported where a second device takes part; damage
/// where the array or this device's item do not agree with the superblock.
ChunkMap read_chunks(BlockDevice& device, const Superblock& super);

/// Throws damage unless the device extents are the chunks' copies, all of them and nothing else; unsupported
/// where a replacement of the device was under way.
void check_device_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                       TreeReader& reader);

/// Bytes used in each chunk, in the order of ChunkMap::chunks(), by the block group items (of the extent tree
/// or the block group tree). Throws damage where chunks and block groups do not match one to one.
std::vector<std::uint64_t> read_used(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                                     TreeReader& reader);

/// Bytes of the device that are never anybody's: the superblocks' places, what lies before the first one, and
/// the first MiB as far as no chunk of an old mkfs.btrfs takes it.
ExtentSet reserved_extents(const Superblock& super, const ChunkMap& chunks);
/// What lies in no chunk, without the reserved.
ExtentSet unallocated_extents(const Superblock& super, const ChunkMap& chunks);

} // namespace disktool::btrfs
