// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_map.h"

#include "damage.h"
#include "layout.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::btrfs {

void check_free_space(const FreeSpace& free, const ChunkMap& chunks, std::span<const std::uint64_t> used,
                      const BlockDevice& device) {
    for (std::size_t i = 0; i < free.size(); ++i) {
        const Chunk& chunk = chunks.chunks()[i];
        if (free[i].total() != chunk.length - used[i])
            throw damage(
                device, fmt::format("the block group at logical byte {} says that {} bytes of it are free, but "
                                    "{} are",
                                    chunk.logical, chunk.length - used[i], free[i].total()));
    }
}

ExtentSet free_map(const FreeSpace& free, const Superblock& super, const ChunkMap& chunks) {
    ExtentSet inside;
    for (const ChunkMap::Stripe& stripe : chunks.stripes()) {
        const std::uint64_t logical = chunks.chunks()[stripe.chunk].logical;
        for (const Range range : free[stripe.chunk])
            inside.append({stripe.range.offset + (range.offset - logical), range.length});
    }
    return inside.subtract(reserved_extents(super, chunks)).unite(unallocated_extents(super, chunks));
}

std::uint64_t free_bytes(const Superblock& super, const ChunkMap& chunks, std::span<const std::uint64_t> used) {
    ExtentSet stripes;
    std::uint64_t free = unallocated_extents(super, chunks).total();
    for (const ChunkMap::Stripe& stripe : chunks.stripes()) {
        stripes.append(stripe.range);
        free += stripe.range.length - used[stripe.chunk];
    }
    const std::uint64_t reserved = stripes.intersect(reserved_extents(super, chunks)).total();
    return free - std::min(free, reserved);
}

} // namespace disktool::btrfs
