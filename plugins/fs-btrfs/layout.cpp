// SPDX-License-Identifier: LGPL-2.1-or-later
#include "layout.h"

#include "damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::btrfs {

namespace {

constexpr std::size_t device_item_size = 98;
constexpr std::size_t device_extent_size = 48;
constexpr std::size_t block_group_size = 24;
constexpr std::size_t replace_state_place = 32;
constexpr std::uint64_t replace_started = 1, replace_suspended = 4;

void check_device_item(std::span<const std::byte> data, const Superblock& super, const BlockDevice& device) {
    if (data.size() != device_item_size)
        throw damage(device, fmt::format("its device item has {} bytes", data.size()));
    if (load<std::uint64_t>(data, 8) != super.device_bytes || load_uuid(data, 66) != super.device_uuid)
        throw damage(device, fmt::format("its chunk tree counts {} bytes of this device, its superblock {}",
                                         load<std::uint64_t>(data, 8), super.device_bytes));
}

/// The place of a block group item's chunk in the list, after all checks.
std::size_t checked_group(const Key& key, std::span<const std::byte> data, const ChunkMap& chunks,
                          const BlockDevice& device) {
    const Chunk* chunk = chunks.find(key.objectid, key.offset);
    if (chunk == nullptr || chunk->logical != key.objectid || chunk->length != key.offset)
        throw damage(device, fmt::format("the block group at logical byte {} ({} bytes) has no chunk",
                                         key.objectid, key.offset));
    if (data.size() != block_group_size || load<std::uint64_t>(data, 0) > key.offset)
        throw damage(device,
                     fmt::format("the block group at logical byte {} uses more than it has", key.objectid));
    if (load<std::uint64_t>(data, 16) != chunk->type)
        throw damage(device,
                     fmt::format("the block group at logical byte {} is of another type ({:#x}) than its "
                                 "chunk ({:#x})",
                                 key.objectid, load<std::uint64_t>(data, 16), chunk->type));
    return static_cast<std::size_t>(chunk - chunks.chunks().data());
}

TreeRoot required_tree(TreeReader& reader, std::uint64_t id, const BlockDevice& device) {
    const std::optional<TreeRoot> root = reader.tree(id);
    if (!root)
        throw damage(device, fmt::format("tree {} is missing", id));
    return *root;
}

} // namespace

ChunkMap read_chunks(BlockDevice& device, const Superblock& super) {
    const ChunkMap system = read_system_chunks(super, device);
    TreeReader reader(device, super, system);
    std::vector<Chunk> chunks;
    bool device_met = false;
    reader.walk(super.chunk_root, [&](const Key& key, std::span<const std::byte> data) {
        if (key.objectid == object::device_items && key.type == item::device) {
            if (key.offset != super.device_id)
                throw unsupported(
                    device,
                    fmt::format("the btrfs file system has another device (number {}) besides this one; "
                                "disktool knows those on one device",
                                key.offset),
                    Reason::several_devices);
            check_device_item(data, super, device);
            device_met = true;
        } else if (key.objectid == object::first_chunk_tree && key.type == item::chunk) {
            chunks.push_back(parse_chunk(key.offset, data, super, device));
        }
    });
    if (!device_met)
        throw damage(device, "its chunk tree does not know this device");
    ChunkMap map(std::move(chunks), device);
    for (const Chunk& chunk : system.chunks()) {
        const Chunk* same = map.find(chunk.logical, chunk.length);
        if (same == nullptr || *same != chunk)
            throw damage(device,
                         fmt::format("the superblock's array of system chunks has one at logical byte {} that "
                                     "the chunk tree does not have",
                                     chunk.logical));
    }
    return map;
}

void check_device_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                       TreeReader& reader) {
    std::size_t matched = 0;
    reader.walk(required_tree(reader, tree::device, device), [&](const Key& key,
                                                                 std::span<const std::byte> data) {
        if (key.type == item::device_replace && key.objectid == object::device_replace &&
            data.size() >= replace_state_place + 8) {
            const auto state = load<std::uint64_t>(data, replace_state_place);
            if (state == replace_started || state == replace_suspended)
                throw unsupported(
                    device,
                    "the btrfs file system is being moved to another device (btrfs replace); finish or "
                    "cancel that first",
                    Reason::several_devices);
        }
        if (key.type != item::device_extent)
            return;
        // Both are in the order of the device.
        if (key.objectid != super.device_id || data.size() != device_extent_size ||
            matched == chunks.stripes().size())
            throw damage(device, fmt::format("the device extent at byte {} belongs to no chunk", key.offset));
        const ChunkMap::Stripe& stripe = chunks.stripes()[matched++];
        if (stripe.range != Range{key.offset, load<std::uint64_t>(data, 24)} ||
            chunks.chunks()[stripe.chunk].logical != load<std::uint64_t>(data, 16))
            throw damage(device,
                         fmt::format("the device extent at byte {} is not that of the chunk at logical byte {}",
                                     key.offset, chunks.chunks()[stripe.chunk].logical));
    });
    if (matched != chunks.stripes().size())
        throw damage(device, fmt::format("the chunk at byte {} of the device has no device extent",
                                         chunks.stripes()[matched].range.offset));
}

std::vector<std::uint64_t> read_used(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                                     TreeReader& reader) {
    constexpr std::uint64_t missing = ~0ull;
    std::vector<std::uint64_t> used(chunks.chunks().size(), missing);
    const auto take = [&](const Key& key, std::span<const std::byte> data) {
        if (key.type == item::block_group)
            used[checked_group(key, data, chunks, device)] = load<std::uint64_t>(data, 0);
    };
    if (super.has(read_only_compatible::block_group_tree)) {
        reader.walk(required_tree(reader, tree::block_group, device), take);
    } else {
        // They lie far apart between the extents: one look for each chunk, as the whole tree can be large.
        const TreeRoot root = required_tree(reader, tree::extent, device);
        for (const Chunk& chunk : chunks.chunks())
            reader.walk(root, {chunk.logical, item::block_group, 0}, {chunk.logical, item::block_group, ~0ull},
                        take);
    }
    for (std::size_t i = 0; i < used.size(); ++i)
        if (used[i] == missing)
            throw damage(device, fmt::format("the chunk at logical byte {} has no block group",
                                             chunks.chunks()[i].logical));
    return used;
}

namespace {

ExtentSet stripe_extents(const ChunkMap& chunks) {
    ExtentSet extents;
    for (const ChunkMap::Stripe& stripe : chunks.stripes())
        extents.append(stripe.range);
    return extents;
}

} // namespace

ExtentSet reserved_extents(const Superblock& super, const ChunkMap& chunks) {
    ExtentSet reserved = ExtentSet({0, device_head}).subtract(stripe_extents(chunks));
    reserved = reserved.unite(ExtentSet({0, superblock_places[0]}));
    for (const std::uint64_t place : superblock_places)
        reserved = reserved.unite(ExtentSet({place, superblock_space}));
    return reserved.clip({0, super.device_bytes});
}

ExtentSet unallocated_extents(const Superblock& super, const ChunkMap& chunks) {
    return stripe_extents(chunks).complement({0, super.device_bytes}).subtract(reserved_extents(super, chunks));
}

} // namespace disktool::btrfs
