// SPDX-License-Identifier: LGPL-2.1-or-later
// The superblock as it lies on disk, and what follows from it: where the allocation groups are.
#pragma once

#include "feature_set.h"

#include <disktool/block_device.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace disktool::xfs {

constexpr std::uint32_t magic_superblock = 0x58465342; ///< "XFSB"

/// Of a checksum or a tree: which file system a block belongs to.
using Uuid = std::array<unsigned char, 16>;

/// The primary superblock (byte 0), in the units of the disk. All arithmetic on it is sound only where
/// defect() is empty. Layout: "XFS Algorithms & Data Structures", Superblocks.
struct Superblock {
    Features features;
    bool checksum_valid = false; ///< true in version 4, which has none
    std::uint32_t block_size = 0;
    std::uint64_t blocks = 0;          ///< of the data device
    std::uint64_t realtime_blocks = 0; ///< of the realtime device
    Uuid uuid{};                       ///< as users see it
    Uuid metadata_uuid{};              ///< as the metadata blocks carry it
    std::uint64_t log_start = 0;       ///< file-system block, group number in its upper bits; 0: another device
    std::uint64_t root_inode = 0;
    std::uint32_t group_blocks = 0; ///< of every group but the last
    std::uint32_t groups = 0;
    std::uint32_t log_blocks = 0;
    std::uint32_t log_stripe = 0; ///< bytes; 0 or 1: none
    std::uint16_t sector_size = 0;
    std::uint16_t inode_size = 0;
    std::uint16_t inodes_per_block = 0;
    std::array<unsigned char, 12> label{};
    std::uint8_t block_log = 0;
    std::uint8_t sector_log = 0;
    std::uint8_t inode_log = 0;
    std::uint8_t inodes_per_block_log = 0;
    std::uint8_t group_blocks_log = 0; ///< rounded up
    std::uint8_t directory_block_log = 0;
    bool in_progress = false; ///< mkfs.xfs or another tool had not ended
    std::uint64_t inodes = 0;
    std::uint64_t free_inodes = 0;
    std::uint64_t free_blocks = 0; ///< as last written: exact only after a clean unmount
    std::uint32_t stripe_unit = 0; ///< blocks
    std::uint32_t stripe_width = 0;

    /// None when the device is too short for one or the magic number is not there.
    static std::optional<Superblock> read(BlockDevice& device);

    /// What makes no sense in it, as half a sentence; empty when all does.
    std::string defect() const;

    std::uint64_t size() const { return blocks * block_size; } ///< bytes
    bool log_is_internal() const { return log_start != 0; }
    std::uint32_t group_length(std::uint32_t group) const; ///< blocks
    /// Where block `block` of a group lies on the device, in bytes.
    std::uint64_t offset(std::uint32_t group, std::uint64_t block) const;
    /// Blocks at the start of every group that hold its four headers, one sector each.
    std::uint32_t header_blocks() const;

    /// A block by group and number within the group.
    struct Place {
        std::uint64_t group = 0;
        std::uint64_t block = 0;
    };
    Place log_place() const;
    Place root_inode_place() const;

  private:
    std::string size_defect() const;
    std::string inode_defect() const;
    std::string group_defect() const;
    std::string log_defect() const;
};

/// Copies 16 bytes.
Uuid uuid_at(std::span<const std::byte> bytes, std::size_t offset);

} // namespace disktool::xfs
