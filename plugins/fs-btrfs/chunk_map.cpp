// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chunk_map.h"

#include "damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace disktool::btrfs {

namespace {

constexpr std::size_t chunk_size = 48; ///< without its stripes
constexpr std::size_t stripe_size = 32;
constexpr std::uint64_t address_limit = 1ull << 62;

constexpr std::array<std::pair<std::uint64_t, std::string_view>, 8> layout_names = {
    {{profile::raid0, "RAID0"},
     {profile::raid1, "RAID1"},
     {profile::dup, "DUP"},
     {profile::raid10, "RAID10"},
     {profile::raid5, "RAID5"},
     {profile::raid6, "RAID6"},
     {profile::raid1c3, "RAID1C3"},
     {profile::raid1c4, "RAID1C4"}}};

/// 0 for what is no layout that is known here.
std::uint32_t copies_of(std::uint64_t type) {
    switch (type & profile::layouts) {
    case 0:
        return 1;
    case profile::raid1:
    case profile::dup:
        return 2;
    case profile::raid1c3:
        return 3;
    case profile::raid1c4:
        return 4;
    default:
        return 0;
    }
}

bool kind_makes_sense(std::uint64_t type, const Superblock& super) {
    const std::uint64_t kind = type & profile::kinds;
    if ((super.incompatible & incompatible::mixed_groups) != 0)
        return kind == (profile::data | profile::metadata) || kind == profile::system;
    return kind == profile::data || kind == profile::metadata || kind == profile::system;
}

} // namespace

std::string type_text(std::uint64_t type) {
    std::string text;
    for (const auto& [bit, word] : {std::pair{profile::data, "data"}, std::pair{profile::metadata, "metadata"},
                                    std::pair{profile::system, "system"}})
        if ((type & bit) != 0)
            text += (text.empty() ? "" : "+") + std::string(word);
    std::string layout;
    for (const auto& [bit, word] : layout_names)
        if ((type & bit) != 0)
            layout += (layout.empty() ? "" : "+") + std::string(word);
    return text + ", " + (layout.empty() ? "single" : layout);
}

Chunk parse_chunk(std::uint64_t logical, std::span<const std::byte> item, const Superblock& super,
                  const BlockDevice& device) {
    const auto broken = [&](std::string_view what) {
        return damage(device, fmt::format("the chunk at logical byte {} {}", logical, what));
    };
    if (item.size() < chunk_size + stripe_size)
        throw broken("is too short");
    Chunk chunk{
        .logical = logical, .length = load<std::uint64_t>(item, 0), .type = load<std::uint64_t>(item, 24)};
    const auto stripes = load<std::uint16_t>(item, 44);
    if (stripes == 0 || item.size() != chunk_size + stripes * stripe_size)
        throw broken(fmt::format("has {} stripes in {} bytes", stripes, item.size()));
    if (chunk.length == 0 || chunk.length >= address_limit || logical >= address_limit ||
        chunk.length % super.sector_size != 0 || logical % super.sector_size != 0)
        throw broken(fmt::format("has {} bytes", chunk.length));
    if (load<std::uint64_t>(item, 16) != stripe_length)
        throw broken(fmt::format("has stripes of {} bytes", load<std::uint64_t>(item, 16)));
    if ((chunk.type & ~(profile::kinds | profile::layouts)) != 0 || !kind_makes_sense(chunk.type, super))
        throw broken(fmt::format("is of an impossible type ({:#x})", chunk.type));
    chunk.copies = copies_of(chunk.type);
    if (chunk.copies == 0)
        throw unsupported(device,
                          fmt::format("the btrfs file system spreads its chunks over devices or stripes ({}); "
                                      "disktool knows single, DUP and RAID1 on one device",
                                      type_text(chunk.type)));
    if (stripes != chunk.copies)
        throw broken(fmt::format("({}) has {} stripes", type_text(chunk.type), stripes));
    for (std::uint32_t i = 0; i < stripes; ++i) {
        const std::size_t at = chunk_size + i * stripe_size;
        if (load<std::uint64_t>(item, at) != super.device_id)
            throw unsupported(device,
                              fmt::format("the btrfs file system has a chunk on another device (number {}); "
                                          "disktool knows those on one device",
                                          load<std::uint64_t>(item, at)),
                              Reason::several_devices);
        chunk.physical[i] = load<std::uint64_t>(item, at + 8);
        if (load_uuid(item, at + 16) != super.device_uuid)
            throw broken("is on a device with another UUID");
        if (chunk.physical[i] % super.sector_size != 0 || chunk.length > super.device_bytes ||
            chunk.physical[i] > super.device_bytes - chunk.length)
            throw broken(fmt::format("is said to lie at byte {} of the device", chunk.physical[i]));
    }
    return chunk;
}

ChunkMap::ChunkMap(std::vector<Chunk> chunks, const BlockDevice& device) : chunks_(std::move(chunks)) {
    std::ranges::sort(chunks_, {}, &Chunk::logical);
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
        if (i > 0 && chunks_[i].logical < chunks_[i - 1].end())
            throw damage(device, fmt::format("the chunks at logical bytes {} and {} overlap",
                                             chunks_[i - 1].logical, chunks_[i].logical));
        for (std::uint32_t copy = 0; copy < chunks_[i].copies; ++copy)
            stripes_.push_back({chunks_[i].copy(copy), i});
    }
    std::ranges::sort(stripes_, {}, [](const Stripe& stripe) { return stripe.range.offset; });
    for (std::size_t i = 1; i < stripes_.size(); ++i)
        if (stripes_[i].range.offset < stripes_[i - 1].range.end())
            throw damage(device,
                         fmt::format("the chunks at logical bytes {} and {} share byte {} of the device",
                                     chunks_[stripes_[i - 1].chunk].logical, chunks_[stripes_[i].chunk].logical,
                                     stripes_[i].range.offset));
}

const Chunk* ChunkMap::find(std::uint64_t logical, std::uint64_t length) const {
    const auto after = std::ranges::upper_bound(chunks_, logical, {}, &Chunk::logical);
    if (after == chunks_.begin())
        return nullptr;
    const Chunk& chunk = *std::prev(after);
    const bool inside = logical < chunk.end() && length <= chunk.end() - logical;
    return inside ? &chunk : nullptr;
}

ChunkMap read_system_chunks(const Superblock& super, const BlockDevice& device) {
    std::vector<Chunk> chunks;
    for (std::span<const std::byte> rest = super.system_chunks; !rest.empty();) {
        if (rest.size() < key_size + chunk_size)
            throw damage(device, "the superblock's array of system chunks ends amid a chunk");
        const Key key = load_key(rest, 0);
        const std::size_t size = chunk_size + load<std::uint16_t>(rest, key_size + 44) * stripe_size;
        if (key.objectid != object::first_chunk_tree || key.type != item::chunk ||
            rest.size() < key_size + size)
            throw damage(device, "the superblock's array of system chunks holds something else");
        const Chunk chunk = parse_chunk(key.offset, rest.subspan(key_size, size), super, device);
        if ((chunk.type & profile::system) == 0)
            throw damage(device, fmt::format("the superblock's array of system chunks holds one of type {}",
                                             type_text(chunk.type)));
        chunks.push_back(chunk);
        rest = rest.subspan(key_size + size);
    }
    return ChunkMap(std::move(chunks), device);
}

} // namespace disktool::btrfs
