// SPDX-License-Identifier: LGPL-2.1-or-later
#include "groups.h"

#include "big_endian.h"
#include "checksum.h"
#include "damage.h"

#include <fmt/format.h>

#include <span>
#include <string>

namespace disktool::xfs {

namespace {

/// Byte offsets in the AGF.
enum FreeSpaceField : std::size_t {
    agf_magicnum = 0,
    agf_versionnum = 4,
    agf_seqno = 8,
    agf_length = 12,
    agf_bno_root = 16,
    agf_cnt_root = 20,
    agf_rmap_root = 24,
    agf_bno_level = 28,
    agf_flfirst = 40,
    agf_fllast = 44,
    agf_flcount = 48,
    agf_freeblks = 52,
    agf_longest = 56,
    agf_btreeblks = 60,
    agf_uuid = 64,
    agf_refcount_root = 88,
    agf_crc = 216,
};
/// Byte offsets in the AGI.
enum InodeField : std::size_t {
    agi_magicnum = 0,
    agi_versionnum = 4,
    agi_seqno = 8,
    agi_length = 12,
    agi_root = 20,
    agi_uuid = 296,
    agi_crc = 312,
    agi_free_root = 328,
};
/// Byte offsets in the AGFL; in version 4 it has no header.
enum FreeListField : std::size_t {
    agfl_magicnum = 0,
    agfl_seqno = 4,
    agfl_uuid = 8,
    agfl_crc = 32,
    agfl_bno = 36,
};
/// Byte offsets in the copy of the superblock.
enum CopyField : std::size_t {
    copy_magicnum = 0,
    copy_blocksize = 4,
    copy_agblocks = 84,
    copy_sectsize = 102,
};

constexpr std::uint32_t magic_free_space = 0x58414746; // "XAGF"
constexpr std::uint32_t magic_inodes = 0x58414749;     // "XAGI"
constexpr std::uint32_t magic_free_list = 0x5841464c;  // "XAFL"
constexpr std::uint32_t most_levels = 9;               // of 2^32 blocks of 512 bytes

/// The four sectors of a group, and what their checks have in common.
class Headers {
  public:
    Headers(BlockDevice& device, const Superblock& super, std::uint32_t group)
        : device_(device), super_(super), group_(group), sectors_(4u * super.sector_size) {
        device.read(super.offset(group, 0), sectors_);
    }

    std::span<const std::byte> superblock() const { return sector(0); }
    std::span<const std::byte> free_space() const { return sector(1); }
    std::span<const std::byte> inodes() const { return sector(2); }
    std::span<const std::byte> free_list() const { return sector(3); }

    Error wrong(int sector, const std::string& what) const {
        constexpr const char* names[] = {"copy of the superblock", "free-space header (AGF)",
                                         "inode header (AGI)", "list of reserved blocks (AGFL)"};
        return damage(device_, fmt::format("the {} of group {} (at byte {}) {}", names[sector], group_,
                                           super_.offset(group_, 0) + std::uint64_t{super_.sector_size} *
                                                                          static_cast<unsigned>(sector),
                                           what));
    }

    void check_magic(int index, std::uint32_t magic) const {
        if (be32(sector(index), 0) != magic)
            throw wrong(index, "has no magic number");
    }

    void check_version_5(int index, std::size_t crc, std::size_t uuid) const {
        if (!super_.features.has_checksums())
            return;
        if (!checksum_matches(sector(index), crc))
            throw wrong(index, "has a bad checksum");
        if (uuid_at(sector(index), uuid) != super_.metadata_uuid)
            throw wrong(index, "belongs to a file system with another UUID");
    }

    void check_number(int index, std::uint32_t number) const {
        if (number != group_)
            throw wrong(index, fmt::format("is that of group {}", number));
    }

  private:
    std::span<const std::byte> sector(int index) const {
        return std::span(sectors_).subspan(static_cast<std::size_t>(index) * super_.sector_size,
                                           super_.sector_size);
    }

    BlockDevice& device_;
    const Superblock& super_;
    std::uint32_t group_;
    std::vector<std::byte> sectors_;
};

/// The copy counts only for mkfs and repair; its checksum and counters are often old, its geometry never.
void check_superblock_copy(const Headers& headers, const Superblock& super) {
    const auto copy = headers.superblock();
    headers.check_magic(0, magic_superblock);
    if (be32(copy, copy_blocksize) != super.block_size || be16(copy, copy_sectsize) != super.sector_size ||
        be32(copy, copy_agblocks) != super.group_blocks)
        throw headers.wrong(0, "has another geometry");
}

void check_inode_header(const Headers& headers, std::uint32_t length) {
    const auto header = headers.inodes();
    headers.check_magic(2, magic_inodes);
    headers.check_version_5(2, agi_crc, agi_uuid);
    headers.check_number(2, be32(header, agi_seqno));
    if (be32(header, agi_versionnum) != 1 || be32(header, agi_length) != length)
        throw headers.wrong(2, fmt::format("has version {} and {} blocks instead of {}",
                                           be32(header, agi_versionnum), be32(header, agi_length), length));
}

std::size_t free_list_start(const Superblock& super) {
    return super.features.has_checksums() ? std::size_t{agfl_bno} : 0;
}

std::uint32_t free_list_capacity(const Superblock& super) {
    return static_cast<std::uint32_t>((super.sector_size - free_list_start(super)) / 4);
}

void check_free_list(const Headers& headers, const Superblock& super) {
    const auto header = headers.free_space();
    if (super.features.has_checksums()) {
        headers.check_magic(3, magic_free_list);
        headers.check_version_5(3, agfl_crc, agfl_uuid);
        headers.check_number(3, be32(headers.free_list(), agfl_seqno));
    }
    const std::uint32_t capacity = free_list_capacity(super);
    const std::uint32_t first = be32(header, agf_flfirst);
    const std::uint32_t last = be32(header, agf_fllast);
    const std::uint32_t count = be32(header, agf_flcount);
    // It is a ring; an empty one has its last just before its first.
    if (first >= capacity || last >= capacity || count > capacity ||
        (last + capacity + 1 - first) % capacity != count % capacity)
        throw headers.wrong(
            1, fmt::format("has {} reserved blocks, number {} to {} of {}", count, first, last, capacity));
}

Group checked_group(BlockDevice& device, const Superblock& super, std::uint32_t number) {
    const Headers headers(device, super, number);
    const std::uint32_t length = super.group_length(number);
    check_superblock_copy(headers, super);
    headers.check_magic(1, magic_free_space);
    headers.check_version_5(1, agf_crc, agf_uuid);
    const auto header = headers.free_space();
    headers.check_number(1, be32(header, agf_seqno));
    if (be32(header, agf_versionnum) != 1 || be32(header, agf_length) != length)
        throw headers.wrong(1, fmt::format("has version {} and {} blocks instead of {}",
                                           be32(header, agf_versionnum), be32(header, agf_length), length));

    Group group;
    group.number = number;
    group.length = length;
    group.free_root = be32(header, agf_bno_root);
    group.free_levels = be32(header, agf_bno_level);
    group.free_blocks = be32(header, agf_freeblks);
    group.longest_free = be32(header, agf_longest);
    group.list_blocks = be32(header, agf_flcount);
    group.tree_blocks = super.features.has_lazy_counters() ? be32(header, agf_btreeblks) : 0;
    if (group.free_levels == 0 || group.free_levels > most_levels)
        throw headers.wrong(1, fmt::format("has a tree of free space with {} levels", group.free_levels));
    if (std::uint64_t{group.free_blocks} + group.list_blocks + group.tree_blocks > length ||
        group.longest_free > group.free_blocks)
        throw headers.wrong(1,
                            fmt::format("counts {} blocks free, {} of them in one piece, {} reserved and {} in "
                                        "trees, of {}",
                                        group.free_blocks, group.longest_free, group.list_blocks,
                                        group.tree_blocks, length));
    check_inode_header(headers, length);
    check_free_list(headers, super);
    return group;
}

} // namespace

std::vector<Group> read_groups(BlockDevice& device, const Superblock& super) {
    std::vector<Group> groups;
    for (std::uint32_t number = 0; number < super.groups; ++number)
        groups.push_back(checked_group(device, super, number));
    return groups;
}

std::vector<std::uint32_t> known_used_blocks(BlockDevice& device, const Superblock& super, const Group& group) {
    const Headers headers(device, super, group.number);
    std::vector<std::uint32_t> blocks;
    const auto add = [&](int sector, std::uint32_t block, const char* what) {
        if (block < super.header_blocks() || block >= group.length)
            throw headers.wrong(sector,
                                fmt::format("says that {} lies at block {} of {}", what, block, group.length));
        blocks.push_back(block);
    };
    const auto header = headers.free_space();
    add(1, be32(header, agf_cnt_root), "the tree of free space by size");
    if (super.features.has_rmapbt())
        add(1, be32(header, agf_rmap_root), "the reverse map");
    if (super.features.has_reflink())
        add(1, be32(header, agf_refcount_root), "the tree of reference counts");
    add(2, be32(headers.inodes(), agi_root), "the tree of inodes");
    if (super.features.has_finobt())
        add(2, be32(headers.inodes(), agi_free_root), "the tree of free inodes");

    const std::uint32_t capacity = free_list_capacity(super);
    const std::uint32_t first = be32(header, agf_flfirst);
    for (std::uint32_t i = 0; i < group.list_blocks; ++i)
        add(3, be32(headers.free_list(), free_list_start(super) + (first + i) % capacity * std::size_t{4}),
            "a reserved block");
    return blocks;
}

} // namespace disktool::xfs
