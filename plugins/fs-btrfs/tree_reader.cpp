// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tree_reader.h"

#include "damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace disktool::btrfs {

namespace {

constexpr std::size_t inner_limit = 256;
constexpr std::size_t root_item_size = 239; ///< of the oldest kind; newer ones are longer

std::uint32_t item_count(std::span<const std::byte> node) {
    return load<std::uint32_t>(node, 96);
}
std::uint8_t level_of(std::span<const std::byte> node) {
    return load<std::uint8_t>(node, 100);
}
std::size_t entry_size(std::uint8_t level) {
    return level == 0 ? item_header_size : pointer_size;
}
Key key_at(std::span<const std::byte> node, std::uint32_t index) {
    return load_key(node, node_header_size + index * entry_size(level_of(node)));
}

/// The first entry with a key of at least `key`.
std::uint32_t lower_bound(std::span<const std::byte> node, const Key& key) {
    std::uint32_t low = 0;
    std::uint32_t high = item_count(node);
    while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (key_at(node, middle) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

} // namespace

TreeReader::TreeReader(BlockDevice& device, const Superblock& super, const ChunkMap& chunks)
    : device_(device), super_(super), chunks_(chunks) {}

void TreeReader::walk(const TreeRoot& root, const Key& first, const Key& last, const Visitor& visitor) {
    visits_left_ = super_.device_bytes / super_.node_size + 1;
    descend({root.logical, root.generation, root.level, root.owner, std::nullopt, std::nullopt}, first, last,
            visitor);
}

std::optional<std::vector<std::byte>> TreeReader::find(const TreeRoot& root, const Key& key) {
    std::optional<std::vector<std::byte>> found;
    walk(root, key, key,
         [&](const Key&, std::span<const std::byte> data) { found.emplace(data.begin(), data.end()); });
    return found;
}

std::optional<TreeRoot> TreeReader::tree(std::uint64_t id) {
    std::optional<TreeRoot> root;
    walk(super_.root, {id, item::root, 0}, {id, item::root, ~0ull},
         [&](const Key&, std::span<const std::byte> data) {
             if (data.size() < root_item_size)
                 throw damage(device_, fmt::format("the root of tree {} has {} bytes", id, data.size()));
             root = {load<std::uint64_t>(data, 176), load<std::uint64_t>(data, 160),
                     load<std::uint8_t>(data, 238), id};
         });
    if (root && (root->level > highest_level || root->generation > super_.generation))
        throw damage(device_, fmt::format("the root of tree {} is of level {} and generation {}", id,
                                          root->level, root->generation));
    return root;
}

void TreeReader::descend(const Promise& promise, const Key& first, const Key& last, const Visitor& visitor) {
    if (visits_left_-- == 0)
        throw damage(device_, fmt::format("tree {} has more nodes than the device can hold", promise.owner));
    const Node held = node(promise);
    const std::span<const std::byte> bytes = *held;
    const std::uint32_t count = item_count(bytes);
    std::uint32_t index = lower_bound(bytes, first);
    if (promise.level == 0) {
        for (; index < count; ++index) {
            const Key key = key_at(bytes, index);
            if (key > last)
                return;
            const std::size_t header = node_header_size + index * item_header_size;
            visitor(key, bytes.subspan(node_header_size + load<std::uint32_t>(bytes, header + 17),
                                       load<std::uint32_t>(bytes, header + 21)));
        }
        return;
    }
    // The child before the first key that is not less may hold such keys too.
    if (index > 0 && (index == count || key_at(bytes, index) != first))
        --index;
    for (; index < count; ++index) {
        const Key key = key_at(bytes, index);
        if (key > last)
            return;
        const std::size_t pointer = node_header_size + index * pointer_size;
        descend({load<std::uint64_t>(bytes, pointer + 17), load<std::uint64_t>(bytes, pointer + 25),
                 static_cast<std::uint8_t>(promise.level - 1), promise.owner, key,
                 index + 1 < count ? std::optional(key_at(bytes, index + 1)) : promise.below},
                first, last, visitor);
    }
}

TreeReader::Node TreeReader::node(const Promise& promise) {
    if (const auto known = inner_.find(promise.logical); known != inner_.end()) {
        if (const std::string defect = node_defect(*known->second, promise); !defect.empty())
            throw damage(device_, fmt::format("the node at logical byte {} {}", promise.logical, defect));
        return known->second;
    }
    const Chunk* chunk = chunks_.find(promise.logical, super_.node_size);
    if (chunk == nullptr || (chunk->type & (profile::metadata | profile::system)) == 0 ||
        promise.logical % super_.sector_size != 0)
        throw damage(device_,
                     fmt::format("a node of tree {} is said to lie at logical byte {}, where no metadata is",
                                 promise.owner, promise.logical));
    std::string defect;
    auto bytes = std::make_shared<std::vector<std::byte>>(super_.node_size);
    for (std::uint32_t copy = 0; copy < chunk->copies; ++copy) {
        device_.read(chunk->physical[copy] + (promise.logical - chunk->logical), *bytes);
        std::string found = checksum_matches(super_.checksum_type, *bytes) ? node_defect(*bytes, promise)
                                                                           : "has a bad checksum";
        if (found.empty()) {
            bad_copies_ += copy;
            if (promise.level > 0) {
                if (inner_.size() >= inner_limit)
                    inner_.clear();
                inner_.emplace(promise.logical, bytes);
            }
            return bytes;
        }
        if (defect.empty())
            defect = std::move(found);
    }
    throw damage(device_,
                 fmt::format("the node at logical byte {} (byte {} of the device, tree {}) {}", promise.logical,
                             chunk->physical[0] + (promise.logical - chunk->logical), promise.owner, defect));
}

std::string TreeReader::node_defect(std::span<const std::byte> node, const Promise& promise) const {
    if (load<std::uint64_t>(node, 48) != promise.logical)
        return fmt::format("says that it belongs at {}", load<std::uint64_t>(node, 48));
    if (load_uuid(node, 32) != super_.metadata_uuid)
        return "belongs to another file system";
    if (level_of(node) != promise.level)
        return fmt::format("is of level {} where one of level {} should be", level_of(node), promise.level);
    if (load<std::uint64_t>(node, 80) != promise.generation)
        return fmt::format("is of generation {} where one of {} should be", load<std::uint64_t>(node, 80),
                           promise.generation);
    if (promise.generation > super_.generation)
        return fmt::format("is of generation {}, newer than the superblock ({})", promise.generation,
                           super_.generation);
    if (load<std::uint64_t>(node, 88) != promise.owner)
        return fmt::format("belongs to tree {}, not {}", load<std::uint64_t>(node, 88), promise.owner);
    const std::uint32_t count = item_count(node);
    if (count > (node.size() - node_header_size) / entry_size(promise.level) ||
        (count == 0 && (promise.level > 0 || promise.first)))
        return fmt::format("has {} entries", count);
    if (std::string defect = keys_defect(node, promise); !defect.empty())
        return defect;
    return promise.level == 0 ? leaf_defect(node) : std::string();
}

std::string TreeReader::keys_defect(std::span<const std::byte> node, const Promise& promise) const {
    const std::uint32_t count = item_count(node);
    if (promise.first && key_at(node, 0) != *promise.first)
        return "does not start with the key that its parent names";
    for (std::uint32_t i = 1; i < count; ++i)
        if (key_at(node, i - 1) >= key_at(node, i))
            return fmt::format("has keys out of order (entry {})", i);
    if (count > 0 && promise.below && key_at(node, count - 1) >= *promise.below)
        return "has keys that belong into the node behind it";
    return {};
}

/// The data of the items fill a leaf from its end downwards, in their order and without gaps.
std::string TreeReader::leaf_defect(std::span<const std::byte> node) {
    const std::uint32_t count = item_count(node);
    std::uint64_t end = node.size() - node_header_size;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::size_t header = node_header_size + i * item_header_size;
        const std::uint64_t offset = load<std::uint32_t>(node, header + 17);
        const std::uint64_t size = load<std::uint32_t>(node, header + 21);
        if (offset + size != end || offset < std::uint64_t{count} * item_header_size)
            return fmt::format("has an item (entry {}) with {} bytes at {}", i, size, offset);
        end = offset;
    }
    return {};
}

} // namespace disktool::btrfs
