// SPDX-License-Identifier: LGPL-2.1-or-later
// Source of the item formats: btrfs.readthedocs.io, "Btree items", FREE_SPACE_INFO, _EXTENT and _BITMAP.
#include "damage.h"
#include "free_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

namespace disktool::btrfs {

namespace {

constexpr std::size_t info_size = 8;
constexpr std::uint32_t using_bitmaps = 1;

class FreeSpaceTree {
  public:
    FreeSpaceTree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks)
        : device_(device), super_(super), chunks_(chunks), free_(chunks.chunks().size()),
          met_(chunks.chunks().size()) {}

    FreeSpace run(TreeReader& reader) {
        const std::optional<TreeRoot> root = reader.tree(tree::free_space);
        if (!root)
            throw damage(device_, "its free-space tree is missing");
        reader.walk(*root, [&](const Key& key, std::span<const std::byte> data) { take(key, data); });
        end_group();
        for (std::size_t i = 0; i < met_.size(); ++i)
            if (!met_[i])
                throw damage(device_,
                             fmt::format("the free-space tree does not know the block group at logical byte {}",
                                         chunks_.chunks()[i].logical));
        return std::move(free_);
    }

  private:
    void take(const Key& key, std::span<const std::byte> data) {
        if (key.type == item::free_space_info)
            begin_group(key, data);
        else if (key.type == item::free_space_extent || key.type == item::free_space_bitmap)
            add(key, data);
        else
            throw damage(device_, fmt::format("the free-space tree holds an item of type {}", key.type));
    }

    void begin_group(const Key& key, std::span<const std::byte> data) {
        end_group();
        if (data.size() != info_size)
            throw damage(device_, fmt::format("the free-space info at logical byte {} has {} bytes",
                                              key.objectid, data.size()));
        const Chunk* chunk = chunks_.find(key.objectid, key.offset);
        stale_ = chunk == nullptr || chunk->logical != key.objectid || chunk->length != key.offset;
        in_group_ = true;
        if (stale_)
            return;
        group_ = chunk;
        covered_ = chunk->logical;
        index_ = static_cast<std::size_t>(chunk - chunks_.chunks().data());
        met_[index_] = true;
        expected_ = load<std::uint32_t>(data, 0);
        bitmaps_ = (load<std::uint32_t>(data, 4) & using_bitmaps) != 0;
    }

    void end_group() {
        if (in_group_ && !stale_ && free_[index_].count() != expected_)
            throw damage(device_,
                         fmt::format("the free-space tree counts {} extents in the block group at logical "
                                     "byte {} but holds {}",
                                     expected_, group_->logical, free_[index_].count()));
    }

    void add(const Key& key, std::span<const std::byte> data) {
        if (in_group_ && stale_)
            return;
        const bool bitmap = key.type == item::free_space_bitmap;
        if (!in_group_ || key.objectid < group_->logical || key.objectid >= group_->end() || key.offset == 0 ||
            key.offset > group_->end() - key.objectid || key.objectid % super_.sector_size != 0 ||
            key.offset % super_.sector_size != 0 || bitmap != bitmaps_ || key.objectid < covered_)
            throw damage(device_,
                         fmt::format("the free-space tree has a wrong entry at logical byte {} ({} bytes)",
                                     key.objectid, key.offset));
        covered_ = key.objectid + key.offset;
        if (!bitmap) {
            free_[index_].append({key.objectid, key.offset});
            return;
        }
        const std::uint64_t bits = key.offset / super_.sector_size;
        if (data.size() != divide_up(bits, 8))
            throw damage(device_,
                         fmt::format("the free-space bitmap at logical byte {} has {} bytes for {} sectors",
                                     key.objectid, data.size(), bits));
        add_bitmap(key.objectid, bits, data);
    }

    void add_bitmap(std::uint64_t start, std::uint64_t bits, std::span<const std::byte> data) {
        const std::uint64_t sector = super_.sector_size;
        for (std::uint64_t at = next(data, 0, bits, true); at < bits;) {
            const std::uint64_t end = next(data, at, bits, false);
            free_[index_].append({start + at * sector, (end - at) * sector});
            at = next(data, end, bits, true);
        }
    }

    /// The first bit at or after `from` that has `value`; `bits` where there is none.
    static std::uint64_t next(std::span<const std::byte> data, std::uint64_t from, std::uint64_t bits,
                              bool value) {
        while (from < bits) {
            auto byte = std::to_integer<unsigned>(data[from / 8]);
            byte = (value ? byte : ~byte & 0xffu) >> (from % 8);
            if (byte != 0)
                return std::min<std::uint64_t>(bits, from + static_cast<unsigned>(std::countr_zero(byte)));
            from = (from / 8 + 1) * 8;
        }
        return bits;
    }

    BlockDevice& device_;
    const Superblock& super_;
    const ChunkMap& chunks_;
    FreeSpace free_;
    std::vector<bool> met_;
    bool in_group_ = false;
    bool stale_ = false; ///< its block group is gone
    bool bitmaps_ = false;
    const Chunk* group_ = nullptr;
    std::size_t index_ = 0;
    std::uint32_t expected_ = 0; ///< extents, as the group's info counts them
    std::uint64_t covered_ = 0;  ///< where the group's entries so far end
};

} // namespace

FreeSpace read_free_space_tree(BlockDevice& device, const Superblock& super, const ChunkMap& chunks,
                               TreeReader& reader) {
    return FreeSpaceTree(device, super, chunks).run(reader);
}

} // namespace disktool::btrfs
