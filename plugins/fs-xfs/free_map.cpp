// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_map.h"

#include "damage.h"
#include "free_tree.h"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

namespace disktool::xfs {

namespace {

Range block_range(const Superblock& super, std::uint64_t group, std::uint64_t block, std::uint64_t count) {
    return {super.offset(static_cast<std::uint32_t>(group), block), count * super.block_size};
}

} // namespace

ExtentSet free_map(BlockDevice& device, const Superblock& super, const std::vector<Group>& groups) {
    ExtentSet free;
    std::vector<Range> used;
    if (super.log_is_internal())
        used.push_back(block_range(super, super.log_place().group, super.log_place().block, super.log_blocks));
    used.push_back(block_range(super, super.root_inode_place().group, super.root_inode_place().block, 1));
    for (const Group& group : groups) {
        FreeTree tree(device, super, group);
        tree.read(free);
        for (const std::uint32_t block : tree.blocks())
            used.push_back(block_range(super, group.number, block, 1));
        for (const std::uint32_t block : known_used_blocks(device, super, group))
            used.push_back(block_range(super, group.number, block, 1));
    }

    std::uint64_t sum = 0;
    for (const Range range : used)
        sum += range.length;
    const ExtentSet structures = ExtentSet::from_unsorted(std::move(used));
    if (structures.total() != sum)
        throw damage(device,
                     "two of its structures (log, trees, reserved blocks, root directory) are said to lie "
                     "in the same block");
    if (const ExtentSet both = structures.intersect(free); !both.empty())
        throw damage(device, fmt::format("its tree of free space calls block {} of group {} (at byte {}) free, "
                                         "which is in use",
                                         both.span().offset / super.block_size % super.group_blocks,
                                         both.span().offset / super.block_size / super.group_blocks,
                                         both.span().offset));
    return free;
}

} // namespace disktool::xfs
