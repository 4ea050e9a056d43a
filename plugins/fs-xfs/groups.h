// SPDX-License-Identifier: LGPL-2.1-or-later
// Allocation groups: what their headers say, checked.
#pragma once

#include "superblock.h"

#include <disktool/block_device.h>

#include <cstdint>
#include <vector>

namespace disktool::xfs {

constexpr std::uint32_t no_block = 0xffffffff; ///< where a block number of a group would stand

/// The headers of one group: its copy of the superblock, AGF (free space), AGI (inodes) and AGFL (blocks kept
/// for the free-space trees), one sector each. Block numbers count from the start of the group. Layout: "XFS
/// Algorithms & Data Structures", Allocation Groups.
struct Group {
    std::uint32_t number = 0;
    std::uint32_t length = 0;       ///< blocks
    std::uint32_t free_root = 0;    ///< of the tree of free space by block number
    std::uint32_t free_levels = 0;  ///< 1: the root is a leaf
    std::uint32_t free_blocks = 0;  ///< in the tree
    std::uint32_t longest_free = 0; ///< blocks of the longest free extent
    std::uint32_t list_blocks = 0;  ///< in the AGFL
    std::uint32_t tree_blocks = 0;  ///< of the free-space (and reverse-map) trees, their roots not counted
};

/// Reads and checks all headers of all groups. Throws damage.
std::vector<Group> read_groups(BlockDevice& device, const Superblock& super);

/// Blocks of the group that hold something for certain: roots of its trees and the blocks in its AGFL. Throws
/// damage where they lie outside.
std::vector<std::uint32_t> known_used_blocks(BlockDevice& device, const Superblock& super, const Group& group);

} // namespace disktool::xfs
