// SPDX-License-Identifier: LGPL-2.1-or-later
// The B+tree of a group's free space, sorted by block number.
#pragma once

#include "groups.h"

#include <disktool/block_device.h>
#include <disktool/error.h>
#include <disktool/extents.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace disktool::xfs {

/// Walks it once, left to right, and checks as it goes: magic number, level, number of records, siblings,
/// order, bounds; in version 5 checksum, UUID, owner and place of each block too. Since records must ascend and
/// no block may be empty, a loop among the blocks ends with an error at once. Layout: "XFS Algorithms & Data
/// Structures", AG Free Space B+trees.
class FreeTree {
  public:
    FreeTree(BlockDevice& device, const Superblock& super, const Group& group);

    /// Appends the free extents, in bytes of the device, and their sum equals what the group's header counts.
    /// Throws damage.
    void read(ExtentSet& free);
    /// The tree's own blocks, after read().
    const std::vector<std::uint32_t>& blocks() const { return blocks_; }

  private:
    /// What has been seen of one level so far.
    struct Level {
        std::vector<std::byte> block;
        std::uint32_t number = no_block;        ///< of that block
        std::uint32_t right_sibling = no_block; ///< of that block
    };

    void descend(std::uint32_t number, std::uint32_t level);
    std::uint32_t checked_block(std::uint32_t number, std::uint32_t level);
    void check_owner(std::span<const std::byte> block, std::uint32_t number) const;
    void add(std::uint32_t start, std::uint32_t count, std::uint32_t in_block);
    Error wrong(std::uint32_t number, std::string_view what) const;

    BlockDevice& device_;
    const Superblock& super_;
    const Group& group_;
    std::size_t header_length_;
    ExtentSet* free_ = nullptr;
    std::vector<Level> levels_;
    std::vector<std::uint32_t> blocks_;
    std::uint64_t end_; ///< of the last extent, or of the headers: nothing before it may be free
    std::uint64_t total_ = 0;
    std::uint32_t longest_ = 0;
};

} // namespace disktool::xfs
