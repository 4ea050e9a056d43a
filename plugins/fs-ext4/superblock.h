// SPDX-License-Identifier: LGPL-2.1-or-later
// The superblock as it lies on disk, judged before libext2fs sees the device.
#pragma once

#include "feature_set.h"

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::ext4 {

/// libext2fs shifts, divides and allocates by these numbers, so they are checked first: with no defect() its
/// arithmetic is sound and its group descriptors take 256 MiB at most.
/// Layout: linux/Documentation/filesystems/ext4/super.rst.
class Superblock {
  public:
    /// None when the device is too short for one or the magic number is not there.
    static std::optional<Superblock> read(BlockDevice& device);

    const Features& features() const { return features_; }
    bool has_checksum() const;
    bool checksum_known() const { return checksum_type_ == 1; } ///< crc32c, the only kind there is
    bool checksum_matches() const { return checksum_matches_; }
    std::uint64_t size() const { return blocks_ * block_size(); } ///< bytes; only without a defect
    /// What makes no sense in it, as half a sentence; empty when all does.
    std::string defect() const;

  private:
    Superblock() = default;
    std::uint32_t block_size() const { return 1024u << log_block_size_; }
    std::string group_defect() const;
    std::string descriptor_defect() const;

    Features features_;
    bool checksum_matches_ = false;
    std::uint8_t checksum_type_ = 0;
    std::uint32_t revision_ = 0;
    std::uint32_t log_block_size_ = 0;
    std::uint32_t log_cluster_size_ = 0;
    std::uint64_t blocks_ = 0;
    std::uint64_t free_blocks_ = 0;
    std::uint64_t reserved_blocks_ = 0;
    std::uint32_t first_data_block_ = 0;
    std::uint32_t blocks_per_group_ = 0;
    std::uint32_t clusters_per_group_ = 0;
    std::uint32_t inodes_ = 0;
    std::uint32_t free_inodes_ = 0;
    std::uint32_t inodes_per_group_ = 0;
    std::uint32_t inode_size_ = 0;
    std::uint32_t descriptor_size_ = 0;
    std::uint32_t reserved_descriptor_blocks_ = 0;
    std::uint32_t first_meta_group_ = 0;
    std::uint32_t log_groups_per_flex_ = 0;
};

} // namespace disktool::ext4
