// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fat_geometry.h"

#include "fields.h"

#include <disktool/size.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace disktool::fat {

namespace {

using BootSector = std::array<std::byte, 512>;

constexpr std::uint32_t largest_fat12 = 4084;
constexpr std::uint32_t largest_fat16 = 65524;
constexpr std::uint32_t largest_fat32 = 0x0ffffff5; // numbers from 0x0ffffff7 on have a meaning

bool plausible(const BootSector& boot) {
    const auto jump = load_le<std::uint8_t>(boot, 0);
    const auto media = load_le<std::uint8_t>(boot, 21);
    const auto sector_size = load_le<std::uint16_t>(boot, 11);
    const auto per_cluster = load_le<std::uint8_t>(boot, 13);
    const auto tables = load_le<std::uint8_t>(boot, 16);
    return load_le<std::uint16_t>(boot, 510) == 0xaa55 && (jump == 0xeb || jump == 0xe9) &&
           (media == 0xf0 || media >= 0xf8) && std::has_single_bit(sector_size) && sector_size >= 512 &&
           sector_size <= 4096 && std::has_single_bit(per_cluster) && load_le<std::uint16_t>(boot, 14) != 0 &&
           tables >= 1 && tables <= 4 && std::memcmp(boot.data() + 3, "NTFS    ", 8) != 0 &&
           std::memcmp(boot.data() + 3, "EXFAT   ", 8) != 0 && std::memcmp(boot.data() + 3, "-FVE-FS-", 8) != 0;
}

/// What only FAT32 has.
bool read_fat32(const BootSector& boot, FatGeometry& fat) {
    const auto flags = load_le<std::uint16_t>(boot, 40);
    if ((flags & 0x80) != 0) {
        fat.active_table = flags & 0xf;
        if (*fat.active_table >= fat.tables)
            return false;
    }
    fat.root_cluster = load_le<std::uint32_t>(boot, 44) & 0x0fffffff;
    const std::uint64_t info = load_le<std::uint16_t>(boot, 48);
    if (info != 0 && info != 0xffff && (info + 1) * fat.sector_size <= fat.table)
        fat.info_sector = info * fat.sector_size;
    return load_le<std::uint16_t>(boot, 42) == 0 && fat.root_cluster >= 2 && fat.root_size == 0;
}

/// The extended fields lie at another place in FAT32.
void read_names(const BootSector& boot, FatGeometry& fat) {
    const std::size_t at = fat.bits == 32 ? 64 : 36;
    fat.dirty = (load_le<std::uint8_t>(boot, at + 1) & 1) != 0;
    const auto signature = load_le<std::uint8_t>(boot, at + 2);
    if (signature != 0x28 && signature != 0x29)
        return;
    fat.serial = load_le<std::uint32_t>(boot, at + 3);
    if (signature == 0x29)
        fat.label = padded_text(std::span(boot).subspan(at + 7, 11));
    if (fat.label == "NO NAME")
        fat.label.clear();
}

} // namespace

std::optional<FatGeometry> read_geometry(BlockDevice& device) {
    BootSector boot;
    if (device.size() < boot.size())
        return std::nullopt;
    device.read(0, boot);
    if (!plausible(boot))
        return std::nullopt;

    FatGeometry fat;
    fat.sector_size = load_le<std::uint16_t>(boot, 11);
    fat.cluster_size = fat.sector_size * load_le<std::uint8_t>(boot, 13);
    fat.tables = load_le<std::uint8_t>(boot, 16);
    fat.media = load_le<std::uint8_t>(boot, 21);
    fat.table = std::uint64_t{load_le<std::uint16_t>(boot, 14)} * fat.sector_size;
    const std::uint32_t small_sectors = load_le<std::uint16_t>(boot, 19);
    fat.total_size =
        std::uint64_t{small_sectors != 0 ? small_sectors : load_le<std::uint32_t>(boot, 32)} * fat.sector_size;
    const std::uint32_t small_table = load_le<std::uint16_t>(boot, 22);
    const bool wide = small_table == 0;
    fat.table_size = std::uint64_t{wide ? load_le<std::uint32_t>(boot, 36) : small_table} * fat.sector_size;
    fat.root_size = std::uint64_t{load_le<std::uint16_t>(boot, 17)} * 32;
    fat.root = fat.table + fat.tables * fat.table_size;
    fat.data = fat.root + round_up(fat.root_size, fat.sector_size);
    if (fat.table_size == 0 || fat.data >= fat.total_size || (!wide && fat.root_size == 0))
        return std::nullopt;

    const std::uint64_t clusters = (fat.total_size - fat.data) / fat.cluster_size;
    fat.bits = wide ? 32 : clusters <= largest_fat12 ? 12 : 16;
    const std::uint32_t most = wide ? largest_fat32 : largest_fat16;
    if (clusters == 0 || clusters > most || (wide && !read_fat32(boot, fat)))
        return std::nullopt;
    const std::uint64_t entries = fat.table_size * 8 / static_cast<unsigned>(fat.bits);
    if (entries <= 2)
        return std::nullopt;
    fat.clusters = static_cast<std::uint32_t>(std::min(clusters, entries - 2));
    if (wide && fat.root_cluster >= fat.cluster_end())
        return std::nullopt;
    read_names(boot, fat);
    return fat;
}

} // namespace disktool::fat
