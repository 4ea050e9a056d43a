// SPDX-License-Identifier: LGPL-2.1-or-later
#include "header.h"

#include "little_endian.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <string_view>

namespace disktool::ploop {

namespace {

constexpr std::string_view signature_v1 = "WithoutFreeSpace";
constexpr std::string_view signature_v2 = "WithouFreSpacExt";
constexpr std::uint32_t only_type = 2;

/// Where the fields lie.
enum Field : std::size_t {
    at_type = 16,
    at_heads = 20,
    at_cylinders = 24,
    at_cluster = 28,
    at_entries = 32,
    at_size = 36,
    at_in_use = 44,
    at_data_start = 48,
    at_flags = 52,
    at_extension = 56,
};

[[noreturn]] void refuse(const std::string& sentence) {
    throw Error(ErrorCode::damaged, sentence, Reason::image_corrupt);
}

} // namespace

Geometry geometry_of(std::uint64_t disk_sectors) {
    // Between these two a disk has the geometry of a BIOS of its time, whether or not it divides the size.
    if (disk_sectors > 1032192 && disk_sectors < 16777216) {
        return {disk_sectors / (63 * 16), 16, 63};
    }
    for (const std::uint32_t sectors : {63u, 32u, 16u, 8u}) {
        if (disk_sectors % sectors != 0) {
            continue;
        }
        const std::uint64_t tracks = disk_sectors / sectors;
        for (const std::uint32_t heads : {16u, 8u, 4u, 2u}) {
            if (tracks % heads == 0) {
                return {tracks / heads, heads, sectors};
            }
        }
        break;
    }
    return {disk_sectors, 1, 1};
}

bool is_cluster_size(std::uint64_t sectors) {
    return std::has_single_bit(sectors) && sectors >= smallest_cluster_sectors &&
           sectors <= largest_cluster_sectors;
}

std::uint64_t entries_of(std::uint64_t disk_sectors, std::uint32_t cluster_sectors) {
    return divide_up(disk_sectors, cluster_sectors);
}

std::uint64_t table_clusters(std::uint64_t entries, std::uint32_t cluster_sectors) {
    const std::uint64_t bytes = header_size + entries * sizeof(std::uint32_t);
    return divide_up(divide_up(bytes, sector_size), cluster_sectors);
}

std::uint64_t largest_disk(Version version, std::uint32_t cluster_sectors) {
    // Version 1 counts sectors in 32 bits, version 2 clusters.
    return version == Version::v1 ? round_down(UINT32_MAX, cluster_sectors)
                                  : std::uint64_t{UINT32_MAX} * cluster_sectors;
}

Header new_header(std::uint64_t disk_sectors, std::uint32_t cluster_sectors, Version version) {
    const Geometry geometry = geometry_of(disk_sectors);
    const std::uint64_t entries = entries_of(disk_sectors, cluster_sectors);
    Header header;
    header.version = version;
    header.heads = geometry.heads;
    header.cylinders = static_cast<std::uint32_t>(geometry.cylinders);
    header.cluster_sectors = cluster_sectors;
    header.entries = static_cast<std::uint32_t>(entries);
    header.disk_sectors = disk_sectors;
    header.data_start_sectors =
        static_cast<std::uint32_t>(table_clusters(entries, cluster_sectors) * cluster_sectors);
    header.flags = flag_empty;
    return header;
}

Header parse_header(std::span<const std::byte> bytes, const std::string& path) {
    const std::string_view signature(reinterpret_cast<const char*>(bytes.data()), signature_v1.size());
    Header header;
    if (signature == signature_v1) {
        header.version = Version::v1;
    } else if (signature == signature_v2) {
        header.version = Version::v2;
    } else {
        refuse("Wrong signature in image " + path);
    }
    header.type = get<std::uint32_t>(bytes, at_type);
    header.heads = get<std::uint32_t>(bytes, at_heads);
    header.cylinders = get<std::uint32_t>(bytes, at_cylinders);
    header.cluster_sectors = get<std::uint32_t>(bytes, at_cluster);
    header.entries = get<std::uint32_t>(bytes, at_entries);
    header.disk_sectors = get<std::uint64_t>(bytes, at_size);
    if (header.version == Version::v1) { // which does not use the upper half
        header.disk_sectors &= UINT32_MAX;
    }
    header.in_use = get<std::uint32_t>(bytes, at_in_use);
    header.data_start_sectors = get<std::uint32_t>(bytes, at_data_start);
    header.flags = get<std::uint32_t>(bytes, at_flags);
    header.extension_sector = get<std::uint64_t>(bytes, at_extension);
    return header;
}

void check_header(const Header& header, const std::string& path) {
    // The first sentences are the original's, which scripts know.
    constexpr std::string_view way_out = "it was not written by any version of ploop that is known; restore it "
                                         "from a backup";
    if (header.type != only_type) {
        refuse(fmt::format("Wrong type in image {}: {} in place of {}; {}", path, header.type, only_type,
                           way_out));
    }
    if (!is_cluster_size(header.cluster_sectors)) {
        refuse(fmt::format(
            "Wrong cluster size {} in image {}: a power of two from {} to {} sectors is needed; {}",
            header.cluster_sectors, path, smallest_cluster_sectors, largest_cluster_sectors, way_out));
    }
    if (header.data_start_sectors == 0 || header.data_start_sectors % header.cluster_sectors != 0) {
        refuse(fmt::format("Wrong first block offset in image {}: {} is not a multiple of the cluster of {} "
                           "sectors; {}",
                           path, header.data_start_sectors, header.cluster_sectors, way_out));
    }
    const std::uint64_t entries = entries_of(header.disk_sectors, header.cluster_sectors);
    if (header.entries != entries) {
        refuse(fmt::format(
            "{}: the header counts {} BAT entries, but a disk of {} sectors has {}; look at it with "
            "`ploop check`",
            path, header.entries, header.disk_sectors, entries));
    }
    if (table_clusters(header.entries, header.cluster_sectors) > header.data_start()) {
        refuse(fmt::format("Wrong first block offset in image {}: the BAT of {} entries does not fit before "
                           "sector {}, where the data begins; look at it with `ploop check`",
                           path, header.entries, header.data_start_sectors));
    }
}

std::array<std::byte, header_size> header_bytes(const Header& header) {
    std::array<std::byte, header_size> bytes{};
    const std::string_view signature = header.version == Version::v1 ? signature_v1 : signature_v2;
    std::memcpy(bytes.data(), signature.data(), signature.size());
    put<std::uint32_t>(bytes, at_type, header.type);
    put<std::uint32_t>(bytes, at_heads, header.heads);
    put<std::uint32_t>(bytes, at_cylinders, header.cylinders);
    put<std::uint32_t>(bytes, at_cluster, header.cluster_sectors);
    put<std::uint32_t>(bytes, at_entries, header.entries);
    put<std::uint64_t>(bytes, at_size,
                       header.version == Version::v1 ? header.disk_sectors & UINT32_MAX : header.disk_sectors);
    put<std::uint32_t>(bytes, at_in_use, header.in_use);
    put<std::uint32_t>(bytes, at_data_start, header.data_start_sectors);
    put<std::uint32_t>(bytes, at_flags, header.flags);
    put<std::uint64_t>(bytes, at_extension, header.extension_sector);
    return bytes;
}

std::uint64_t entry_offset(const Header& header, std::uint32_t entry) {
    return entry * (header.version == Version::v1 ? sector_size : header.cluster_size());
}

std::uint32_t offset_entry(const Header& header, std::uint64_t offset) {
    return static_cast<std::uint32_t>(offset /
                                      (header.version == Version::v1 ? sector_size : header.cluster_size()));
}

} // namespace disktool::ploop
