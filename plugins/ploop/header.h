// SPDX-License-Identifier: LGPL-2.1-or-later
// The header of a ploop image file, and what follows from it. All numbers on disk are little-endian.
//
// Source: docs/ploop-format.md. Units here are bytes unless a name says sectors (512 bytes) or clusters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace disktool::ploop {

constexpr std::uint64_t sector_size = 512;
constexpr std::size_t header_size = 64; ///< bytes; the BAT follows at once
constexpr std::uint32_t smallest_cluster_sectors = 64;
constexpr std::uint32_t largest_cluster_sectors = 131072;
constexpr std::uint32_t default_cluster_sectors = 2048;

constexpr std::uint32_t in_use_mark = 0x746F6E59;     ///< someone writes to it, or was killed while doing so
constexpr std::uint32_t closed_mark_v21 = 0x312e3276; ///< closed, and the format extension is valid
constexpr std::uint32_t flag_empty = 1;               ///< no data cluster is in use
constexpr std::uint32_t flag_converting = 2;          ///< a new BAT is on its way: see bat_switch.h

enum class Version : std::uint32_t { v1 = 1, v2 = 2 };

/// Cylinders, heads and sectors: only informative, but scripts compare descriptors.
struct Geometry {
    std::uint64_t cylinders = 0;
    std::uint32_t heads = 0;
    std::uint32_t sectors = 0;
};
Geometry geometry_of(std::uint64_t disk_sectors);

struct Header {
    Version version = Version::v2;
    std::uint32_t type = 2;
    std::uint32_t heads = 0;
    std::uint32_t cylinders = 0;
    std::uint32_t cluster_sectors = default_cluster_sectors;
    std::uint32_t entries = 0; ///< of the BAT
    std::uint64_t disk_sectors = 0;
    std::uint32_t in_use = 0;
    std::uint32_t data_start_sectors = 0; ///< first data cluster; a multiple of the cluster
    std::uint32_t flags = 0;
    std::uint64_t extension_sector = 0; ///< 0: no format extension

    std::uint64_t cluster_size() const { return cluster_sectors * sector_size; }
    std::uint64_t disk_size() const { return disk_sectors * sector_size; }
    /// Clusters of header and BAT: the number of the first data cluster of the file.
    std::uint64_t data_start() const { return data_start_sectors / cluster_sectors; }
    bool is_in_use() const { return in_use == in_use_mark; }
    bool has_extension() const { return in_use == closed_mark_v21 && extension_sector != 0; }

    friend bool operator==(const Header&, const Header&) = default;
};

bool is_cluster_size(std::uint64_t sectors);
/// BAT entries for a disk of so many sectors.
std::uint64_t entries_of(std::uint64_t disk_sectors, std::uint32_t cluster_sectors);
/// Clusters that header and BAT take (64-bit arithmetic: the original overflows at 1 PiB).
std::uint64_t table_clusters(std::uint64_t entries, std::uint32_t cluster_sectors);
/// The largest disk that a version can hold, in sectors.
std::uint64_t largest_disk(Version version, std::uint32_t cluster_sectors);
/// Of a new, empty image. `disk_sectors` must be a multiple of the cluster.
Header new_header(std::uint64_t disk_sectors, std::uint32_t cluster_sectors, Version version);

/// What the first bytes of a file say, taken as it is. Throws Error(damaged) only for a wrong signature: "Wrong
/// signature in image PATH". Needs header_size bytes.
Header parse_header(std::span<const std::byte> bytes, const std::string& path);
/// The tests that make a header usable: type, cluster size, first data cluster, entries against disk size and
/// against what fits before the first data cluster. Throws Error(damaged) with what is wrong.
void check_header(const Header& header, const std::string& path);
std::array<std::byte, header_size> header_bytes(const Header& header);

/// What a BAT entry says of where a cluster lies in the file, in bytes; 0: nowhere. Version 1 counts sectors,
/// version 2 clusters. No check.
std::uint64_t entry_offset(const Header& header, std::uint32_t entry);
std::uint32_t offset_entry(const Header& header, std::uint64_t offset);

} // namespace disktool::ploop
