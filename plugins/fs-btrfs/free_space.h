// SPDX-License-Identifier: LGPL-2.1-or-later
// What is free inside the chunks, two ways.
#pragma once

#include "chunk_map.h"
#include "superblock.h"
#include "tree_reader.h"

#include <disktool/block_device.h>
#include <disktool/extents.h>

#include <vector>

namespace disktool::btrfs {

/// One set for each chunk, in the order of ChunkMap::chunks(), in logical bytes.
using FreeSpace = std::vector<ExtentSet>;

/// From the free-space tree, for a superblock that says that it is valid. What it holds of block groups that
/// are gone (mkfs.btrfs leaves such) is passed by. Throws damage.
FreeSpace read_free_space_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                               TreeReader& reader);
/// What no extent item covers. Reads the whole extent tree. Throws damage.
FreeSpace read_extent_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                           TreeReader& reader);

} // namespace disktool::btrfs
