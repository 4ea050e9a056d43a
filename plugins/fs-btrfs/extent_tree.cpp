// SPDX-License-Identifier: LGPL-2.1-or-later
// Source of the item formats: btrfs.readthedocs.io, "Btree items", EXTENT_ITEM and METADATA_ITEM.
#include "damage.h"
#include "free_space.h"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

namespace disktool::btrfs {

FreeSpace read_extent_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                           TreeReader& reader) {
    const std::optional<TreeRoot> root = reader.tree(tree::extent);
    if (!root)
        throw damage(device, "its extent tree is missing");
    const std::vector<Chunk>& list = chunks.chunks();
    FreeSpace free(list.size());
    std::size_t current = 0;
    std::uint64_t end = list.empty() ? 0 : list[0].logical; // of the extents so far in the current chunk
    const auto finish_before = [&](std::uint64_t logical) {
        while (current < list.size() && list[current].end() <= logical) {
            free[current].append({end, list[current].end() - end});
            if (++current < list.size())
                end = list[current].logical;
        }
    };
    reader.walk(*root, [&](const Key& key, std::span<const std::byte>) {
        if (key.type != item::extent && key.type != item::metadata)
            return;
        const std::uint64_t length = key.type == item::metadata ? super.node_size : key.offset;
        finish_before(key.objectid);
        if (current == list.size() || key.objectid < end || length == 0 ||
            length > list[current].end() - key.objectid || key.objectid % super.sector_size != 0 ||
            length % super.sector_size != 0)
            throw damage(device,
                         fmt::format("the extent at logical byte {} ({} bytes) overlaps another one or lies in "
                                     "no block group",
                                     key.objectid, length));
        free[current].append({end, key.objectid - end});
        end = key.objectid + length;
    });
    finish_before(~0ull);
    return free;
}

} // namespace disktool::btrfs
