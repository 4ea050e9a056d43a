// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_tree.h"

#include "big_endian.h"
#include "checksum.h"
#include "damage.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::xfs {

namespace {

/// Byte offsets in a block of a tree within a group; from bb_blkno on only in version 5.
enum Field : std::size_t {
    bb_magic = 0,
    bb_level = 4,
    bb_numrecs = 6,
    bb_leftsib = 8,
    bb_rightsib = 12,
    bb_blkno = 16, ///< of the device, in units of 512 bytes
    bb_uuid = 32,
    bb_owner = 48, ///< the group
    bb_crc = 52,
};
constexpr std::size_t header_length_4 = 16;
constexpr std::size_t header_length_5 = 56;
constexpr std::uint32_t magic_4 = 0x41425442; // "ABTB"
constexpr std::uint32_t magic_5 = 0x41423342; // "AB3B"
/// A record is start and count, and so is the key of a block below; a pointer is a block number.
constexpr std::size_t record_length = 8;
constexpr std::size_t pointer_length = 4;

} // namespace

FreeTree::FreeTree(BlockDevice& device, const Superblock& super, const Group& group)
    : device_(device), super_(super), group_(group),
      header_length_(super.features.has_checksums() ? header_length_5 : header_length_4),
      levels_(group.free_levels), end_(super.header_blocks()) {}

Error FreeTree::wrong(std::uint32_t number, std::string_view what) const {
    return damage(device_, fmt::format("block {} of the tree of free space of group {} (at byte {}) {}", number,
                                       group_.number, super_.offset(group_.number, number), what));
}

void FreeTree::read(ExtentSet& free) {
    free_ = &free;
    descend(group_.free_root, group_.free_levels - 1);
    for (const Level& level : levels_)
        if (level.right_sibling != no_block)
            throw wrong(level.number, fmt::format("has a right sibling, block {}, that is not in the tree",
                                                  level.right_sibling));
    if (total_ != group_.free_blocks || longest_ != group_.longest_free)
        throw damage(
            device_,
            fmt::format("the tree of free space of group {} holds {} blocks, {} of them in one piece, but "
                        "the group's header (AGF) says {} and {}",
                        group_.number, total_, longest_, group_.free_blocks, group_.longest_free));
}

void FreeTree::descend(std::uint32_t number, std::uint32_t level) {
    const std::uint32_t count = checked_block(number, level);
    // Deeper calls use the buffers of deeper levels only.
    const std::span<const std::byte> block = levels_[level].block;
    if (level == 0) {
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t record = header_length_ + i * record_length;
            add(be32(block, record), be32(block, record + 4), number);
        }
        return;
    }
    const std::size_t capacity = (super_.block_size - header_length_) / (record_length + pointer_length);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t key = be32(block, header_length_ + i * record_length);
        const std::uint32_t child = be32(block, header_length_ + capacity * record_length + i * pointer_length);
        descend(child, level - 1);
        // A key is the start of the first record below it; of a node that is its own first key.
        if (be32(levels_[level - 1].block, header_length_) != key)
            throw wrong(number, fmt::format("says that block {} starts with the free block {}, but it does not",
                                            child, key));
    }
}

/// Reads block `number` into its level's buffer. Gives the number of its records.
std::uint32_t FreeTree::checked_block(std::uint32_t number, std::uint32_t level) {
    if (number < super_.header_blocks() || number >= group_.length)
        throw damage(device_,
                     fmt::format("the tree of free space of group {} is said to have a block {}, of {}",
                                 group_.number, number, group_.length));
    Level& here = levels_[level];
    here.block.resize(super_.block_size);
    device_.read(super_.offset(group_.number, number), here.block);
    const std::span<const std::byte> block = here.block;
    check_owner(block, number);
    if (be16(block, bb_level) != level)
        throw wrong(number, fmt::format("is of level {} instead of {}", be16(block, bb_level), level));
    const std::size_t entry_length = level == 0 ? record_length : record_length + pointer_length;
    const std::uint32_t count = be16(block, bb_numrecs);
    const bool empty_group = level == 0 && group_.free_levels == 1;
    if (count > (super_.block_size - header_length_) / entry_length || (count == 0 && !empty_group))
        throw wrong(number, fmt::format("has {} records", count));
    if (be32(block, bb_leftsib) != here.number || (here.number != no_block && here.right_sibling != number))
        throw wrong(number, "and its left sibling do not name each other");
    here.number = number;
    here.right_sibling = be32(block, bb_rightsib);
    blocks_.push_back(number);
    return count;
}

void FreeTree::check_owner(std::span<const std::byte> block, std::uint32_t number) const {
    const bool version_5 = super_.features.has_checksums();
    if (be32(block, bb_magic) != (version_5 ? magic_5 : magic_4))
        throw wrong(number, "has no magic number");
    if (!version_5)
        return;
    if (!checksum_matches(block, bb_crc))
        throw wrong(number, "has a bad checksum");
    if (uuid_at(block, bb_uuid) != super_.metadata_uuid)
        throw wrong(number, "belongs to a file system with another UUID");
    if (be32(block, bb_owner) != group_.number ||
        be64(block, bb_blkno) != super_.offset(group_.number, number) / 512)
        throw wrong(number, "belongs to another place");
}

void FreeTree::add(std::uint32_t start, std::uint32_t count, std::uint32_t in_block) {
    if (count == 0 || start < end_ || std::uint64_t{start} + count > group_.length)
        throw wrong(in_block, fmt::format("calls {} blocks from {} on free, which are out of order or outside",
                                          count, start));
    end_ = std::uint64_t{start} + count;
    total_ += count;
    longest_ = std::max(longest_, count);
    free_->append({super_.offset(group_.number, start), std::uint64_t{count} * super_.block_size});
}

} // namespace disktool::xfs
