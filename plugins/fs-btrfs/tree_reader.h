// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads B-trees: every node verified before a byte of it is believed.
#pragma once

#include "chunk_map.h"
#include "on_disk.h"
#include "superblock.h"

#include <disktool/block_device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace disktool::btrfs {

/// Walks trees of one file system. A node must bear its own address, the file system's id, its tree's id, the
/// level, generation and first key that its parent (or the superblock) promises, a right checksum, keys in
/// order that stay below the parent's next key, and items that lie in it one behind the other. A bad copy is
/// passed by for the next one (DUP); throws damage when none is good.
///
/// Limits: levels fall from 7 at most to 0; one walk reads no more nodes than the device can hold. Memory: the
/// inner nodes read last, at most 256 (16 MiB). Refers to device, superblock and chunks, which must outlive it.
class TreeReader {
  public:
    using Visitor = std::function<void(const Key& key, std::span<const std::byte> data)>;

    TreeReader(BlockDevice& device, const Superblock& super, const ChunkMap& chunks);

    /// Every item with first <= key <= last, in order. `data` is valid during the call only. The visitor must
    /// not use this reader.
    void walk(const TreeRoot& root, const Key& first, const Key& last, const Visitor& visitor);
    void walk(const TreeRoot& root, const Visitor& visitor) { walk(root, {}, last_key, visitor); }
    std::optional<std::vector<std::byte>> find(const TreeRoot& root, const Key& key);
    /// Where a tree starts, by the tree of trees. None where there is no such tree.
    std::optional<TreeRoot> tree(std::uint64_t id);

    std::uint64_t bad_copies() const { return bad_copies_; } ///< met so far, with a good one beside each

  private:
    using Node = std::shared_ptr<const std::vector<std::byte>>;
    /// What the one who points to a node promises of it.
    struct Promise {
        std::uint64_t logical = 0;
        std::uint64_t generation = 0;
        std::uint8_t level = 0;
        std::uint64_t owner = 0;
        std::optional<Key> first; ///< none: the root of a tree
        std::optional<Key> below; ///< all keys are less
    };
    void descend(const Promise& promise, const Key& first, const Key& last, const Visitor& visitor);
    Node node(const Promise& promise);
    /// What is wrong with it, as half a sentence; empty: nothing.
    std::string node_defect(std::span<const std::byte> node, const Promise& promise) const;
    static std::string leaf_defect(std::span<const std::byte> node);
    std::string keys_defect(std::span<const std::byte> node, const Promise& promise) const;

    BlockDevice& device_;
    const Superblock& super_;
    const ChunkMap& chunks_;
    std::unordered_map<std::uint64_t, Node> inner_; ///< by logical address
    std::uint64_t visits_left_ = 0;
    std::uint64_t bad_copies_ = 0;
};

} // namespace disktool::btrfs
