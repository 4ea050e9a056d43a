// SPDX-License-Identifier: LGPL-2.1-or-later
// The superblock and its mirrors, judged before anything that they point to is read.
#pragma once

#include "checksum.h"
#include "on_disk.h"

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::btrfs {

namespace incompatible {
constexpr std::uint64_t mixed_groups = 1 << 2, metadata_uuid = 1 << 10;
/// Bits 0 to 11 and simple_quota: those that change nothing in the trees that are read here, or that are dealt
/// with.
constexpr std::uint64_t known = 0xfff | 1 << 16;
} // namespace incompatible

namespace read_only_compatible {
constexpr std::uint64_t free_space_tree = 1, free_space_tree_valid = 2, block_group_tree = 8;
constexpr std::uint64_t known = 0xf;
} // namespace read_only_compatible

namespace super_flag {
constexpr std::uint64_t error = 1ull << 2, seeding = 1ull << 32, metadump = 3ull << 33;
/// btrfstune was interrupted: new file system id (two ways), block group tree, checksums of data and metadata.
constexpr std::uint64_t changing = 1ull << 35 | 1ull << 36 | 1ull << 38 | 1ull << 39 | 1ull << 40;
constexpr std::uint64_t known = 3 | error | seeding | metadump | changing;
} // namespace super_flag

/// Where a tree starts, and what its first node must say of itself.
struct TreeRoot {
    std::uint64_t logical = 0;
    std::uint64_t generation = 0;
    std::uint8_t level = 0;
    std::uint64_t owner = 0;
};

/// Plain fields. With no defect() sizes are sane, the device part is within `total_bytes`, and the arithmetic
/// of the readers cannot overflow. Layout: btrfs.readthedocs.io, "On-disk Format", superblock.
struct Superblock {
    ChecksumType checksum_type = ChecksumType::crc32c;
    bool checksum_good = false; ///< false also where its type is not known
    Uuid fsid{};
    Uuid metadata_uuid{}; ///< what the nodes bear; differs from fsid after `btrfstune -m`
    std::uint64_t place = 0;
    std::uint64_t flags = 0;
    std::uint64_t generation = 0;
    TreeRoot root;
    TreeRoot chunk_root;
    std::uint64_t log_root = 0;
    std::uint64_t total_bytes = 0;
    std::uint64_t bytes_used = 0;
    std::uint64_t device_count = 0;
    std::uint32_t sector_size = 0;
    std::uint32_t node_size = 0;
    std::uint64_t compatible = 0;
    std::uint64_t read_only_compatible = 0;
    std::uint64_t incompatible = 0;
    std::uint64_t device_id = 0;
    std::uint64_t device_bytes = 0; ///< of this device, what the file system spans
    Uuid device_uuid{};
    Uuid device_fsid{};
    std::string label;
    std::vector<std::byte> system_chunks; ///< the array of chunks that hold the chunk tree

    bool has(std::uint64_t read_only_compatible_bit) const {
        return (read_only_compatible & read_only_compatible_bit) != 0;
    }
    /// What makes no sense in it, as half a sentence; empty when all does.
    std::string defect() const;
    /// "mixed-backref extended-iref ... free-space-tree": as mkfs.btrfs names them, unknown ones by bit.
    std::string features() const;
};

/// None when there is no magic number at that place or the device ends before it.
std::optional<Superblock> read_superblock(BlockDevice& device, std::uint64_t place);

/// What the mirrors tell of a primary superblock. Reads 4 KiB each.
struct Mirrors {
    unsigned good = 0;                   ///< with the same file system id and a right checksum
    std::uint64_t newest_generation = 0; ///< among those
};
Mirrors read_mirrors(BlockDevice& device, const Superblock& primary);

} // namespace disktool::btrfs
