// SPDX-License-Identifier: LGPL-2.1-or-later
#include "superblock.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <span>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

namespace {

/// 512 TiB of 4 KiB blocks; descriptors of 64 bytes then take 256 MiB.
constexpr std::uint64_t group_limit = 4 << 20;
constexpr std::uint32_t largest_log_block_size = 6;    // 64 KiB
constexpr std::uint32_t largest_log_cluster_size = 20; // 1 GiB

std::uint64_t joined(std::uint32_t low, std::uint32_t high, bool wide) {
    return ext2fs_le32_to_cpu(low) | (wide ? std::uint64_t{ext2fs_le32_to_cpu(high)} << 32 : 0);
}

} // namespace

std::optional<Superblock> Superblock::read(BlockDevice& device) {
    static_assert(sizeof(ext2_super_block) == SUPERBLOCK_SIZE);
    if (device.size() < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE)
        return std::nullopt;
    ext2_super_block raw;
    device.read(SUPERBLOCK_OFFSET, std::as_writable_bytes(std::span(&raw, 1)));
    if (ext2fs_le16_to_cpu(raw.s_magic) != EXT2_SUPER_MAGIC)
        return std::nullopt;

    Superblock super;
    super.features_ = {ext2fs_le32_to_cpu(raw.s_feature_compat), ext2fs_le32_to_cpu(raw.s_feature_incompat),
                       ext2fs_le32_to_cpu(raw.s_feature_ro_compat)};
    super.checksum_type_ = raw.s_checksum_type;
    super.checksum_matches_ =
        ext2fs_crc32c_le(~0u, reinterpret_cast<const unsigned char*>(&raw),
                         offsetof(ext2_super_block, s_checksum)) == ext2fs_le32_to_cpu(raw.s_checksum);
    const bool wide = (super.features_.incompatible & EXT4_FEATURE_INCOMPAT_64BIT) != 0;
    super.revision_ = ext2fs_le32_to_cpu(raw.s_rev_level);
    super.log_block_size_ = ext2fs_le32_to_cpu(raw.s_log_block_size);
    super.log_cluster_size_ = ext2fs_le32_to_cpu(raw.s_log_cluster_size);
    super.blocks_ = joined(raw.s_blocks_count, raw.s_blocks_count_hi, wide);
    super.free_blocks_ = joined(raw.s_free_blocks_count, raw.s_free_blocks_hi, wide);
    super.reserved_blocks_ = joined(raw.s_r_blocks_count, raw.s_r_blocks_count_hi, wide);
    super.first_data_block_ = ext2fs_le32_to_cpu(raw.s_first_data_block);
    super.blocks_per_group_ = ext2fs_le32_to_cpu(raw.s_blocks_per_group);
    super.clusters_per_group_ = ext2fs_le32_to_cpu(raw.s_clusters_per_group);
    super.inodes_ = ext2fs_le32_to_cpu(raw.s_inodes_count);
    super.free_inodes_ = ext2fs_le32_to_cpu(raw.s_free_inodes_count);
    super.inodes_per_group_ = ext2fs_le32_to_cpu(raw.s_inodes_per_group);
    super.inode_size_ = super.revision_ == EXT2_GOOD_OLD_REV
                            ? EXT2_GOOD_OLD_INODE_SIZE
                            : std::uint32_t{ext2fs_le16_to_cpu(raw.s_inode_size)};
    super.descriptor_size_ = wide ? ext2fs_le16_to_cpu(raw.s_desc_size) : EXT2_MIN_DESC_SIZE;
    super.reserved_descriptor_blocks_ = ext2fs_le16_to_cpu(raw.s_reserved_gdt_blocks);
    super.first_meta_group_ = ext2fs_le32_to_cpu(raw.s_first_meta_bg);
    super.log_groups_per_flex_ = raw.s_log_groups_per_flex;
    return super;
}

bool Superblock::has_checksum() const {
    return (features_.read_only_compatible & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) != 0;
}

std::string Superblock::defect() const {
    if (revision_ > EXT2_MAX_SUPP_REV)
        return fmt::format("its revision is {}", revision_);
    if (log_block_size_ > largest_log_block_size)
        return fmt::format("its block size is 1024 * 2^{}", log_block_size_);
    if (first_data_block_ > 1 || (first_data_block_ == 1 && block_size() != 1024))
        return fmt::format("its first data block is {}", first_data_block_);
    // Sizes beyond 2^62 bytes would overflow in what follows, and no device has them.
    if (blocks_ <= first_data_block_ + 1 || blocks_ >= (std::uint64_t{1} << 62) / block_size())
        return fmt::format("it counts {} blocks", blocks_);
    if (free_blocks_ > blocks_ || reserved_blocks_ > blocks_ || free_inodes_ > inodes_)
        return "it counts more free or reserved than there is";
    return group_defect();
}

std::string Superblock::group_defect() const {
    const bool clustered = (features_.read_only_compatible & EXT4_FEATURE_RO_COMPAT_BIGALLOC) != 0;
    if (log_cluster_size_ < log_block_size_ || log_cluster_size_ > largest_log_cluster_size ||
        (!clustered && log_cluster_size_ != log_block_size_))
        return fmt::format("its cluster size is 1024 * 2^{}", log_cluster_size_);
    if (clusters_per_group_ == 0 || clusters_per_group_ % 8 != 0 || clusters_per_group_ > block_size() * 8 ||
        blocks_per_group_ != std::uint64_t{clusters_per_group_} << (log_cluster_size_ - log_block_size_))
        return fmt::format("its groups have {} blocks and {} clusters", blocks_per_group_, clusters_per_group_);
    const std::uint64_t groups = divide_up(blocks_ - first_data_block_, blocks_per_group_);
    if (groups > group_limit)
        return fmt::format("it has {} groups of {} blocks", groups, blocks_per_group_);
    if (inode_size_ < EXT2_GOOD_OLD_INODE_SIZE || inode_size_ > block_size() ||
        !std::has_single_bit(inode_size_))
        return fmt::format("its inode size is {}", inode_size_);
    if (inodes_per_group_ == 0 || inodes_per_group_ > block_size() * 8 ||
        std::uint64_t{inodes_per_group_} * inode_size_ / block_size() >= blocks_per_group_ ||
        groups * inodes_per_group_ != inodes_)
        return fmt::format("it counts {} inodes, {} in each group", inodes_, inodes_per_group_);
    if (log_groups_per_flex_ > 31)
        return fmt::format("its flexible groups have 2^{} groups", log_groups_per_flex_);
    return descriptor_defect();
}

std::string Superblock::descriptor_defect() const {
    const bool wide = (features_.incompatible & EXT4_FEATURE_INCOMPAT_64BIT) != 0;
    if ((wide && descriptor_size_ < EXT2_MIN_DESC_SIZE_64BIT) || descriptor_size_ > EXT2_MAX_DESC_SIZE ||
        !std::has_single_bit(descriptor_size_))
        return fmt::format("its group descriptors have {} bytes", descriptor_size_);
    const std::uint64_t groups = divide_up(blocks_ - first_data_block_, blocks_per_group_);
    const std::uint64_t descriptor_blocks = divide_up(groups, block_size() / descriptor_size_);
    const bool meta = (features_.incompatible & EXT2_FEATURE_INCOMPAT_META_BG) != 0;
    if (meta && first_meta_group_ > descriptor_blocks)
        return fmt::format("its first meta group is {} of {}", first_meta_group_, descriptor_blocks);
    // The descriptors, and those kept for growth, follow the superblock within group 0.
    const std::uint64_t in_group_0 = meta ? first_meta_group_ : descriptor_blocks + reserved_descriptor_blocks_;
    if (in_group_0 + 1 > blocks_per_group_ || in_group_0 + 1 >= blocks_ - first_data_block_)
        return fmt::format("its group descriptors take {} blocks", in_group_0);
    return {};
}

} // namespace disktool::ext4
