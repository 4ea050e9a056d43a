// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exfat_geometry.h"

#include "fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace disktool::fat {

namespace {

using BootSector = std::array<std::byte, 512>;

constexpr std::uint32_t most_clusters = 0xfffffff5;
constexpr std::uint64_t checked_sectors = 11; ///< of the boot region; the twelfth holds the checksum

/// Of the first eleven sectors, without the flags (106, 107) and the percentage (112), which change in use.
std::uint32_t boot_checksum(std::span<const std::byte> sectors) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < sectors.size(); ++i)
        if (i != 106 && i != 107 && i != 112)
            sum = (sum << 31 | sum >> 1) + std::to_integer<std::uint32_t>(sectors[i]);
    return sum;
}

std::string checksum_defect(BlockDevice& device, std::uint32_t sector_size) {
    std::vector<std::byte> region((checked_sectors + 1) * sector_size);
    if (region.size() > device.size())
        return "its boot region does not fit the device";
    device.read(0, region);
    const std::span<const std::byte> all = region;
    const auto stored = all.subspan(checked_sectors * sector_size);
    const std::uint32_t expected = boot_checksum(all.first(checked_sectors * sector_size));
    for (std::size_t at = 0; at < sector_size; at += 4)
        if (load_le<std::uint32_t>(stored, at) != expected)
            return fmt::format("the checksum of its boot region (at byte {}) is wrong",
                               checked_sectors * sector_size + at);
    return {};
}

/// Shifts and lengths as on disk; the arithmetic cannot overflow for what passes.
std::string place(const BootSector& boot, ExfatGeometry& exfat, std::uint64_t device_size) {
    const auto sector_shift = load_le<std::uint8_t>(boot, 108);
    const auto cluster_shift = load_le<std::uint8_t>(boot, 109);
    if (sector_shift < 9 || sector_shift > 12 || cluster_shift > 25 - sector_shift)
        return fmt::format("its sectors have 2^{} bytes, its clusters 2^{} sectors", sector_shift,
                           cluster_shift);
    exfat.sector_size = 1u << sector_shift;
    exfat.cluster_size = std::uint64_t{exfat.sector_size} << cluster_shift;
    if (exfat.tables != 1 && exfat.tables != 2)
        return fmt::format("it counts {} FATs", exfat.tables);
    const auto sectors = load_le<std::uint64_t>(boot, 72);
    if (sectors == 0 || sectors > device_size >> sector_shift)
        return fmt::format("its boot sector says {} sectors, but the device has {}", sectors,
                           device_size >> sector_shift);
    exfat.total_size = sectors << sector_shift;
    exfat.table = std::uint64_t{load_le<std::uint32_t>(boot, 80)} << sector_shift;
    exfat.table_size = std::uint64_t{load_le<std::uint32_t>(boot, 84)} << sector_shift;
    exfat.data = std::uint64_t{load_le<std::uint32_t>(boot, 88)} << sector_shift;
    exfat.clusters = load_le<std::uint32_t>(boot, 92);
    exfat.root_cluster = load_le<std::uint32_t>(boot, 96);
    if (exfat.table < 24 * std::uint64_t{exfat.sector_size} ||
        exfat.table + exfat.tables * exfat.table_size > exfat.data || exfat.data >= exfat.total_size)
        return fmt::format(
            "its FAT (at byte {}) and its clusters (from byte {} on) do not lie one behind the other",
            exfat.table, exfat.data);
    if (exfat.clusters == 0 || exfat.clusters > most_clusters ||
        exfat.clusters > (exfat.total_size - exfat.data) / exfat.cluster_size ||
        exfat.table_size / 4 < std::uint64_t{exfat.clusters} + 2)
        return fmt::format("it counts {} clusters, for which there is no room", exfat.clusters);
    if (exfat.root_cluster < 2 || exfat.root_cluster >= exfat.cluster_end())
        return fmt::format("its root directory is said to be at cluster {}", exfat.root_cluster);
    return {};
}

} // namespace

bool is_exfat(BlockDevice& device) {
    BootSector boot;
    if (device.size() < boot.size())
        return false;
    device.read(0, boot);
    return std::memcmp(boot.data() + 3, "EXFAT   ", 8) == 0;
}

ExfatGeometry read_exfat_geometry(BlockDevice& device) {
    BootSector boot;
    device.read(0, boot);
    ExfatGeometry exfat;
    exfat.serial = load_le<std::uint32_t>(boot, 100);
    exfat.revision = load_le<std::uint16_t>(boot, 104);
    const auto flags = load_le<std::uint16_t>(boot, 106);
    exfat.dirty = (flags & 2) != 0;
    exfat.media_failure = (flags & 4) != 0;
    exfat.tables = load_le<std::uint8_t>(boot, 110);
    const auto zeros = std::span(boot).subspan(11, 53);
    if (load_le<std::uint16_t>(boot, 510) != 0xaa55 ||
        !std::ranges::all_of(zeros, [](std::byte byte) { return byte == std::byte{0}; }))
        exfat.defect = "its boot sector has no signature, or fields of FAT";
    else
        exfat.defect = place(boot, exfat, device.size());
    if (exfat.defect.empty())
        exfat.defect = checksum_defect(device, exfat.sector_size);
    return exfat;
}

} // namespace disktool::fat
