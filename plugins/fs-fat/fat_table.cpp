// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fat_table.h"

#include "damage.h"
#include "fields.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

namespace disktool::fat {

namespace {

/// Entries of 12, 16 and 32 bits fill it without a rest.
constexpr std::uint64_t piece = 3 * 256 * KiB;
constexpr std::uint64_t cache_size = 48 * KiB;

std::uint32_t entry_at(std::span<const std::byte> bytes, int bits, std::uint64_t index) {
    if (bits == 12) {
        const auto pair = load_le<std::uint16_t>(bytes, index + index / 2);
        return index % 2 == 0 ? pair & 0xfffu : pair >> 4;
    }
    return bits == 16 ? load_le<std::uint16_t>(bytes, index * 2)
                      : load_le<std::uint32_t>(bytes, index * 4) & 0x0fffffff;
}

std::uint64_t bytes_for(std::uint64_t entries, int bits) {
    return divide_up(entries * static_cast<unsigned>(bits), 8);
}

} // namespace

FatTable::FatTable(BlockDevice& device, const FatGeometry& fat) : device_(device), fat_(fat) {}

std::uint32_t FatTable::entry(std::uint32_t index) {
    const std::uint64_t per_window = cache_size * 8 / static_cast<unsigned>(fat_.bits);
    const std::uint64_t window = index / per_window;
    if (window != cached_at_) {
        const std::uint64_t from = window * cache_size;
        cached_.resize(std::min(cache_size, fat_.table_size - from));
        device_.read(table_offset(fat_.active_table.value_or(0)) + from, cached_);
        cached_at_ = window;
    }
    return entry_at(cached_, fat_.bits, index % per_window);
}

bool FatTable::shut_down_cleanly() {
    return fat_.bits == 12 || (entry(1) & (fat_.bits == 16 ? 0x8000u : 0x08000000u)) != 0;
}

bool FatTable::had_hard_errors() {
    return fat_.bits != 12 && (entry(1) & (fat_.bits == 16 ? 0x4000u : 0x04000000u)) == 0;
}

bool FatTable::media_matches() {
    return (entry(0) & 0xff) == fat_.media;
}

std::optional<std::uint32_t> FatTable::next(std::uint32_t cluster) {
    const std::uint32_t value = entry(cluster);
    if (value < 2 || value >= fat_.cluster_end())
        return std::nullopt;
    return value;
}

void FatTable::compare(std::uint64_t offset, std::span<const std::byte> expected) {
    if (fat_.active_table)
        return;
    std::vector<std::byte> other(expected.size());
    for (std::uint32_t number = 1; number < fat_.tables; ++number) {
        device_.read(table_offset(number) + offset, other);
        const auto [here, there] = std::ranges::mismatch(expected, other);
        if (here != expected.end()) {
            const auto at = offset + static_cast<std::uint64_t>(here - expected.begin());
            throw damage(device_, fmt::format("FAT 1 and FAT {} differ (bytes {} and {})", number + 1,
                                              table_offset(0) + at, table_offset(number) + at));
        }
    }
}

ExtentSet FatTable::free_clusters() {
    ExtentSet free;
    const std::uint64_t end = bytes_for(fat_.cluster_end(), fat_.bits);
    const std::uint64_t per_piece = piece * 8 / static_cast<unsigned>(fat_.bits);
    std::vector<std::byte> bytes;
    for (std::uint64_t offset = 0, first = 0; offset < end; offset += piece, first += per_piece) {
        bytes.resize(std::min(piece, end - offset));
        device_.read(table_offset(fat_.active_table.value_or(0)) + offset, bytes);
        compare(offset, bytes);
        const std::uint64_t from = std::max<std::uint64_t>(first, 2);
        const std::uint64_t to = std::min<std::uint64_t>(first + per_piece, fat_.cluster_end());
        const bool all_free =
            bytes.front() == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
        if (all_free) {
            free.append(
                {fat_.cluster_offset(static_cast<std::uint32_t>(from)), (to - from) * fat_.cluster_size});
            continue;
        }
        for (std::uint64_t cluster = from; cluster < to; ++cluster)
            if (entry_at(bytes, fat_.bits, cluster - first) == 0)
                free.append({fat_.cluster_offset(static_cast<std::uint32_t>(cluster)), fat_.cluster_size});
    }
    return free;
}

} // namespace disktool::fat
