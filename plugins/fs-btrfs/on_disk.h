// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers of the on-disk format: object ids, item types, flags, and how to take fields out of bytes.
// Source: btrfs.readthedocs.io, "On-disk Format" and "Btree items"; all fields are little-endian, unaligned.
#pragma once

#include <disktool/size.h>

#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::btrfs {

/// The caller has checked that the field lies within `bytes`.
template <std::unsigned_integral T>
T load(std::span<const std::byte> bytes, std::size_t offset) {
    const std::span<const std::byte> field = bytes.subspan(offset, sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(field[i]);
    return static_cast<T>(value);
}

using Uuid = std::array<unsigned char, 16>;

inline Uuid load_uuid(std::span<const std::byte> bytes, std::size_t offset) {
    Uuid uuid{};
    for (std::size_t i = 0; i < uuid.size(); ++i)
        uuid[i] = std::to_integer<unsigned char>(bytes[offset + i]);
    return uuid;
}

/// The order of items in every tree.
struct Key {
    std::uint64_t objectid = 0;
    std::uint8_t type = 0;
    std::uint64_t offset = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
};
constexpr std::size_t key_size = 17;
constexpr Key last_key{~0ull, 0xff, ~0ull};

inline Key load_key(std::span<const std::byte> bytes, std::size_t offset) {
    return {load<std::uint64_t>(bytes, offset), load<std::uint8_t>(bytes, offset + 8),
            load<std::uint64_t>(bytes, offset + 9)};
}

namespace tree {
constexpr std::uint64_t root = 1, extent = 2, chunk = 3, device = 4, free_space = 10, block_group = 11;
} // namespace tree

namespace object {
constexpr std::uint64_t device_items = 1, first_chunk_tree = 256, device_replace = 0;
constexpr std::uint64_t balance = static_cast<std::uint64_t>(-4);
} // namespace object

namespace item {
constexpr std::uint8_t root = 132, extent = 168, metadata = 169, block_group = 192, free_space_info = 198,
                       free_space_extent = 199, free_space_bitmap = 200, device_extent = 204, device = 216,
                       chunk = 228, temporary = 248, device_replace = 250;
} // namespace item

/// Of a chunk and its block group.
namespace profile {
constexpr std::uint64_t data = 1, system = 2, metadata = 4, kinds = 7;
constexpr std::uint64_t raid0 = 1 << 3, raid1 = 1 << 4, dup = 1 << 5, raid10 = 1 << 6, raid5 = 1 << 7,
                        raid6 = 1 << 8, raid1c3 = 1 << 9, raid1c4 = 1 << 10;
constexpr std::uint64_t copies = raid1 | dup | raid1c3 | raid1c4;
constexpr std::uint64_t layouts = copies | raid0 | raid10 | raid5 | raid6;
} // namespace profile

constexpr std::size_t node_header_size = 101;
constexpr std::size_t item_header_size = 25;
constexpr std::size_t pointer_size = 33;
constexpr std::uint8_t highest_level = 7;
constexpr std::uint64_t stripe_length = 64 * KiB;

/// A device's first megabyte is given to boot loaders. Each superblock has 64 KiB to itself.
constexpr std::uint64_t device_head = 1 * MiB;
constexpr std::uint64_t superblock_size = 4096;
constexpr std::uint64_t superblock_space = 64 * KiB;
constexpr std::array<std::uint64_t, 3> superblock_places = {64 * KiB, 64 * MiB, 256 * GiB};

} // namespace disktool::btrfs
