// SPDX-License-Identifier: LGPL-2.1-or-later
#include "superblock.h"

#include "big_endian.h"
#include "checksum.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace disktool::xfs {

namespace {

/// Byte offsets in the superblock.
enum Field : std::size_t {
    sb_magicnum = 0,
    sb_blocksize = 4,
    sb_dblocks = 8,
    sb_rblocks = 16,
    sb_uuid = 32,
    sb_logstart = 48,
    sb_rootino = 56,
    sb_agblocks = 84,
    sb_agcount = 88,
    sb_logblocks = 96,
    sb_versionnum = 100,
    sb_sectsize = 102,
    sb_inodesize = 104,
    sb_inopblock = 106,
    sb_fname = 108,
    sb_blocklog = 120,
    sb_sectlog = 121,
    sb_inodelog = 122,
    sb_inopblog = 123,
    sb_agblklog = 124,
    sb_inprogress = 126,
    sb_icount = 128,
    sb_ifree = 136,
    sb_fdblocks = 144,
    sb_unit = 184,
    sb_width = 188,
    sb_dirblklog = 192,
    sb_logsunit = 196,
    sb_features2 = 200,
    sb_bad_features2 = 204,
    sb_features_compat = 208,
    sb_features_ro_compat = 212,
    sb_features_incompat = 216,
    sb_features_log_incompat = 220,
    sb_crc = 224,
    sb_meta_uuid = 248,
};

constexpr std::uint16_t smallest_sector = 512;
constexpr std::uint16_t largest_sector = 32 << 10;
constexpr std::uint32_t largest_block = 64 << 10;
constexpr std::uint32_t least_group_blocks = 64;
constexpr std::uint64_t largest_group = 1 * TiB;
/// 64 TiB of the least groups that mkfs.xfs makes (16 MiB); what is kept of each takes less than 64 bytes.
constexpr std::uint32_t group_limit = 4 << 20;
constexpr std::uint32_t least_log_blocks = 512;
constexpr std::uint32_t most_log_blocks = 1 << 20;
constexpr std::uint64_t largest_log = 2 * GiB;

std::uint8_t byte_at(std::span<const std::byte> bytes, std::size_t offset) {
    return std::to_integer<std::uint8_t>(bytes[offset]);
}

Features features_of(std::span<const std::byte> raw) {
    Features features;
    features.versionnum = be16(raw, sb_versionnum);
    // Kernels of 2008 and before wrote the field 4 bytes further on 64-bit machines.
    features.features2 = be32(raw, sb_features2) | be32(raw, sb_bad_features2);
    if (features.has_checksums()) {
        features.compatible = be32(raw, sb_features_compat);
        features.read_only_compatible = be32(raw, sb_features_ro_compat);
        features.incompatible = be32(raw, sb_features_incompat);
        features.log_incompatible = be32(raw, sb_features_log_incompat);
    }
    return features;
}

bool sector_possible(std::uint16_t size) {
    return std::has_single_bit(size) && size >= smallest_sector && size <= largest_sector;
}

} // namespace

Uuid uuid_at(std::span<const std::byte> bytes, std::size_t offset) {
    Uuid uuid;
    std::memcpy(uuid.data(), bytes.subspan(offset, uuid.size()).data(), uuid.size());
    return uuid;
}

std::optional<Superblock> Superblock::read(BlockDevice& device) {
    if (device.size() < smallest_sector)
        return std::nullopt;
    std::vector<std::byte> raw(smallest_sector);
    device.read(0, raw);
    if (be32(raw, sb_magicnum) != magic_superblock)
        return std::nullopt;

    Superblock super;
    super.features = features_of(raw);
    super.block_size = be32(raw, sb_blocksize);
    super.blocks = be64(raw, sb_dblocks);
    super.realtime_blocks = be64(raw, sb_rblocks);
    super.uuid = uuid_at(raw, sb_uuid);
    super.metadata_uuid = super.features.has_meta_uuid() ? uuid_at(raw, sb_meta_uuid) : super.uuid;
    super.log_start = be64(raw, sb_logstart);
    super.root_inode = be64(raw, sb_rootino);
    super.group_blocks = be32(raw, sb_agblocks);
    super.groups = be32(raw, sb_agcount);
    super.log_blocks = be32(raw, sb_logblocks);
    super.log_stripe = be32(raw, sb_logsunit);
    super.sector_size = be16(raw, sb_sectsize);
    super.inode_size = be16(raw, sb_inodesize);
    super.inodes_per_block = be16(raw, sb_inopblock);
    std::memcpy(super.label.data(), raw.data() + sb_fname, super.label.size());
    super.block_log = byte_at(raw, sb_blocklog);
    super.sector_log = byte_at(raw, sb_sectlog);
    super.inode_log = byte_at(raw, sb_inodelog);
    super.inodes_per_block_log = byte_at(raw, sb_inopblog);
    super.group_blocks_log = byte_at(raw, sb_agblklog);
    super.directory_block_log = byte_at(raw, sb_dirblklog);
    super.in_progress = byte_at(raw, sb_inprogress) != 0;
    super.inodes = be64(raw, sb_icount);
    super.free_inodes = be64(raw, sb_ifree);
    super.free_blocks = be64(raw, sb_fdblocks);
    super.stripe_unit = be32(raw, sb_unit);
    super.stripe_width = be32(raw, sb_width);

    super.checksum_valid = !super.features.has_checksums();
    if (super.features.has_checksums() && sector_possible(super.sector_size) &&
        super.sector_size <= device.size()) {
        raw.resize(super.sector_size); // the checksum is of the whole sector
        device.read(0, raw);
        super.checksum_valid = checksum_matches(raw, sb_crc);
    }
    return super;
}

std::string Superblock::defect() const {
    for (const auto& part : {&Superblock::size_defect, &Superblock::inode_defect, &Superblock::group_defect,
                             &Superblock::log_defect})
        if (std::string text = (this->*part)(); !text.empty())
            return text;
    return {};
}

std::string Superblock::size_defect() const {
    if (!sector_possible(sector_size) || sector_log != std::countr_zero(sector_size))
        return fmt::format("its sector size is {} (2^{})", sector_size, sector_log);
    if (!std::has_single_bit(block_size) || block_size < sector_size || block_size > largest_block ||
        block_log != std::countr_zero(block_size))
        return fmt::format("its block size is {} (2^{})", block_size, block_log);
    if (directory_block_log + block_log > 16)
        return fmt::format("its directory blocks have 2^{} blocks", directory_block_log);
    // Sizes beyond 2^62 bytes would overflow in what follows, and no device has them.
    if (blocks == 0 || blocks >= (std::uint64_t{1} << 62) / block_size)
        return fmt::format("it counts {} blocks", blocks);
    if (realtime_blocks >= (std::uint64_t{1} << 62) / block_size)
        return fmt::format("it counts {} realtime blocks", realtime_blocks);
    return {};
}

std::string Superblock::inode_defect() const {
    const unsigned least = features.has_checksums() ? 512 : 256;
    if (inode_size < least || inode_size > 2048 || inode_size > block_size ||
        !std::has_single_bit(inode_size) || inode_log != std::countr_zero(inode_size))
        return fmt::format("its inode size is {} (2^{})", inode_size, inode_log);
    if (inodes_per_block != block_size / inode_size || inodes_per_block_log != block_log - inode_log)
        return fmt::format("it has {} (2^{}) inodes in a block", inodes_per_block, inodes_per_block_log);
    return {};
}

std::string Superblock::group_defect() const {
    if (group_blocks < least_group_blocks || std::uint64_t{group_blocks} * block_size > largest_group ||
        group_blocks_log != std::bit_width(group_blocks - 1))
        return fmt::format("its allocation groups have {} blocks (2^{})", group_blocks, group_blocks_log);
    if (groups == 0 || groups > group_limit || divide_up(blocks, group_blocks) != groups)
        return fmt::format("it has {} groups of {} blocks for {} blocks", groups, group_blocks, blocks);
    if (group_length(groups - 1) < std::min(least_group_blocks, group_blocks))
        return fmt::format("its last group has {} blocks", group_length(groups - 1));
    const Place root = root_inode_place();
    if (root.group >= groups || root.block < header_blocks() ||
        root.block >= group_length(static_cast<std::uint32_t>(root.group)))
        return fmt::format("its root directory is said to be inode {}", root_inode);
    return {};
}

std::string Superblock::log_defect() const {
    if (log_blocks < least_log_blocks || log_blocks > most_log_blocks ||
        std::uint64_t{log_blocks} * block_size > largest_log)
        return fmt::format("its log has {} blocks", log_blocks);
    if (!log_is_internal())
        return {};
    const Place place = log_place();
    if (place.group >= groups || place.block < header_blocks() ||
        place.block + log_blocks > group_length(static_cast<std::uint32_t>(place.group)))
        return fmt::format("its log is said to lie at block {} of group {}", place.block, place.group);
    return {};
}

std::uint32_t Superblock::group_length(std::uint32_t group) const {
    if (group + 1 < groups)
        return group_blocks;
    return static_cast<std::uint32_t>(blocks - std::uint64_t{groups - 1} * group_blocks);
}

std::uint64_t Superblock::offset(std::uint32_t group, std::uint64_t block) const {
    return (std::uint64_t{group} * group_blocks + block) * block_size;
}

std::uint32_t Superblock::header_blocks() const {
    return static_cast<std::uint32_t>(divide_up(4u * sector_size, block_size));
}

Superblock::Place Superblock::log_place() const {
    return {log_start >> group_blocks_log, log_start & ((std::uint64_t{1} << group_blocks_log) - 1)};
}

Superblock::Place Superblock::root_inode_place() const {
    const std::uint64_t block = root_inode >> inodes_per_block_log;
    return {block >> group_blocks_log, block & ((std::uint64_t{1} << group_blocks_log) - 1)};
}

} // namespace disktool::xfs
