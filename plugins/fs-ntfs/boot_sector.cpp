// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot_sector.h"

#include "little_endian.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace disktool::ntfs {

namespace {

constexpr std::uint32_t least_sector = 512;
constexpr std::uint32_t largest_sector = 4096;
constexpr std::uint32_t largest_cluster = 2 << 20; // since Windows 10
constexpr std::uint32_t least_record = 512;
constexpr std::uint32_t largest_record = 64 << 10;
/// What Windows makes at most, 2^32 - 1; a bitmap of 512 MiB.
constexpr std::uint64_t cluster_limit = std::uint64_t{1} << 32;

/// A count of sectors up to 128, or a power of two as the negative exponent (clusters beyond 64 KiB).
std::uint32_t decoded_cluster_size(std::uint8_t field, std::uint32_t sector) {
    const unsigned exponent = field > 0x80 ? 0x100u - field : 0;
    if (exponent > 12)
        return 0;
    const std::uint64_t size = std::uint64_t{sector} * (exponent != 0 ? 1u << exponent : field);
    return size <= largest_cluster ? static_cast<std::uint32_t>(size) : 0;
}

/// A count of clusters, or bytes as the negative exponent of two.
std::uint32_t decoded_record_size(std::uint8_t field, std::uint32_t cluster) {
    const unsigned exponent = field >= 0x80 ? 0x100u - field : 0;
    if (exponent > 16)
        return 0;
    const std::uint64_t size = exponent != 0 ? std::uint64_t{1} << exponent : std::uint64_t{field} * cluster;
    return size <= largest_record ? static_cast<std::uint32_t>(size) : 0;
}

} // namespace

std::optional<BootSector> BootSector::read(BlockDevice& device) {
    std::array<std::byte, 512> raw;
    if (device.size() < raw.size())
        return std::nullopt;
    device.read(0, raw);
    if (std::memcmp(raw.data() + 3, "NTFS    ", 8) != 0)
        return std::nullopt;
    BootSector boot;
    boot.sector_size_ = little<std::uint16_t>(raw, 0x0b);
    boot.cluster_size_ = decoded_cluster_size(little<std::uint8_t>(raw, 0x0d), boot.sector_size_);
    // Reserved sectors, FATs, root entries, sectors (16 and 32 bits), sectors of a FAT: what FAT has there.
    const auto empty = [&raw](std::size_t from, std::size_t to) {
        return std::all_of(raw.begin() + static_cast<std::ptrdiff_t>(from),
                           raw.begin() + static_cast<std::ptrdiff_t>(to),
                           [](std::byte byte) { return byte == std::byte{0}; });
    };
    boot.fat_fields_empty_ = empty(0x0e, 0x15) && empty(0x16, 0x18) && empty(0x20, 0x24);
    boot.sectors_ = little<std::uint64_t>(raw, 0x28);
    boot.mft_cluster_ = little<std::uint64_t>(raw, 0x30);
    boot.mirror_cluster_ = little<std::uint64_t>(raw, 0x38);
    boot.record_size_ = decoded_record_size(little<std::uint8_t>(raw, 0x40), boot.cluster_size_);
    boot.index_size_ = decoded_record_size(little<std::uint8_t>(raw, 0x44), boot.cluster_size_);
    boot.serial_ = little<std::uint64_t>(raw, 0x48);
    return boot;
}

std::string BootSector::defect() const {
    if (!std::has_single_bit(sector_size_) || sector_size_ < least_sector || sector_size_ > largest_sector)
        return fmt::format("its sectors have {} bytes", sector_size_);
    if (!std::has_single_bit(cluster_size_) || cluster_size_ < sector_size_)
        return "its cluster size is none";
    if (!fat_fields_empty_)
        return "fields that only FAT uses are not zero";
    if (!std::has_single_bit(record_size_) || record_size_ < least_record)
        return "the size of its MFT records is none";
    if (!std::has_single_bit(index_size_) || index_size_ < least_record)
        return "the size of its index blocks is none";
    if (sectors_ == 0 || sectors_ > cluster_limit * (cluster_size_ / sector_size_))
        return fmt::format("it counts {} sectors", sectors_);
    if (clusters() < 8)
        return fmt::format("it has {} clusters", clusters());
    if (mft_cluster_ == 0 || mft_cluster_ >= clusters() || mirror_cluster_ == 0 ||
        mirror_cluster_ >= clusters())
        return fmt::format("its MFT is said to lie at cluster {} and the MFT's mirror at {}, of {}",
                           mft_cluster_, mirror_cluster_, clusters());
    return {};
}

} // namespace disktool::ntfs
