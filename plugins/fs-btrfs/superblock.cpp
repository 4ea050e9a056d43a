// SPDX-License-Identifier: LGPL-2.1-or-later
#include "superblock.h"

#include <disktool/disk_text.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string_view>

namespace disktool::btrfs {

namespace {

constexpr std::uint64_t magic = 0x4d5f53665248425f; // "_BHRfS_M"
constexpr std::size_t system_chunks_place = 0x32b;
constexpr std::uint32_t system_chunks_limit = 2048;
/// Sums of a few of these do not overflow, and no device is as large.
constexpr std::uint64_t address_limit = 1ull << 62;

constexpr std::array<std::string_view, 17> incompatible_names = {
    "mixed-backref",   "default-subvol", "mixed-bg",         "compress-lzo",
    "compress-zstd",   "big-metadata",   "extref",           "raid56",
    "skinny-metadata", "no-holes",       "metadata-uuid",    "raid1c34",
    "zoned",           "extent-tree-v2", "raid-stripe-tree", "",
    "squota"};
constexpr std::array<std::string_view, 4> read_only_names = {"free-space-tree", "free-space-tree-valid",
                                                             "verity", "block-group-tree"};

void append_names(std::string& text, std::uint64_t bits, std::span<const std::string_view> names, char set) {
    for (unsigned bit = 0; bit < 64; ++bit)
        if ((bits >> bit & 1) != 0) {
            if (!text.empty())
                text += ' ';
            text += bit < names.size() && !names[bit].empty() ? std::string(names[bit])
                                                              : fmt::format("{}{}", set, bit);
        }
}

} // namespace

std::optional<Superblock> read_superblock(BlockDevice& device, std::uint64_t place) {
    if (device.size() < place + superblock_size)
        return std::nullopt;
    std::array<std::byte, superblock_size> raw;
    device.read(place, raw);
    if (load<std::uint64_t>(raw, 0x40) != magic)
        return std::nullopt;

    Superblock super;
    super.checksum_type = static_cast<ChecksumType>(load<std::uint16_t>(raw, 0xc4));
    super.checksum_good = is_known(super.checksum_type) && checksum_matches(super.checksum_type, raw);
    super.fsid = load_uuid(raw, 0x20);
    super.place = load<std::uint64_t>(raw, 0x30);
    super.flags = load<std::uint64_t>(raw, 0x38);
    super.generation = load<std::uint64_t>(raw, 0x48);
    super.root = {load<std::uint64_t>(raw, 0x50), super.generation, load<std::uint8_t>(raw, 0xc6), tree::root};
    super.chunk_root = {load<std::uint64_t>(raw, 0x58), load<std::uint64_t>(raw, 0xa4),
                        load<std::uint8_t>(raw, 0xc7), tree::chunk};
    super.log_root = load<std::uint64_t>(raw, 0x60);
    super.total_bytes = load<std::uint64_t>(raw, 0x70);
    super.bytes_used = load<std::uint64_t>(raw, 0x78);
    super.device_count = load<std::uint64_t>(raw, 0x88);
    super.sector_size = load<std::uint32_t>(raw, 0x90);
    super.node_size = load<std::uint32_t>(raw, 0x94);
    super.compatible = load<std::uint64_t>(raw, 0xac);
    super.read_only_compatible = load<std::uint64_t>(raw, 0xb4);
    super.incompatible = load<std::uint64_t>(raw, 0xbc);
    super.device_id = load<std::uint64_t>(raw, 0xc9);
    super.device_bytes = load<std::uint64_t>(raw, 0xc9 + 8);
    super.device_uuid = load_uuid(raw, 0xc9 + 66);
    super.device_fsid = load_uuid(raw, 0xc9 + 82);
    super.label = disk_text({reinterpret_cast<const unsigned char*>(raw.data()) + 0x12b, 256});
    super.metadata_uuid =
        (super.incompatible & incompatible::metadata_uuid) != 0 ? load_uuid(raw, 0x23b) : super.fsid;
    const std::uint32_t used = std::min(load<std::uint32_t>(raw, 0xa0), system_chunks_limit + 1);
    const std::span<const std::byte> array = std::span(raw).subspan(system_chunks_place, used);
    super.system_chunks.assign(array.begin(), array.end());
    return super;
}

std::string Superblock::defect() const {
    if (!std::has_single_bit(sector_size) || sector_size < 4 * KiB || sector_size > 64 * KiB)
        return fmt::format("its sector size is {}", sector_size);
    if (!std::has_single_bit(node_size) || node_size < sector_size || node_size > 64 * KiB)
        return fmt::format("its node size is {}", node_size);
    if (root.level > highest_level || chunk_root.level > highest_level)
        return fmt::format("its trees are {} and {} levels high", root.level, chunk_root.level);
    if (root.logical % sector_size != 0 || chunk_root.logical % sector_size != 0 ||
        log_root % sector_size != 0 || root.logical >= address_limit || chunk_root.logical >= address_limit)
        return fmt::format("its trees are said to start at {} and {}", root.logical, chunk_root.logical);
    if (chunk_root.generation > generation)
        return fmt::format("its chunk tree is of generation {}, itself of {}", chunk_root.generation,
                           generation);
    if (total_bytes >= address_limit || device_bytes >= address_limit)
        return fmt::format("its size is {}, on this device {}", total_bytes, device_bytes);
    if (device_bytes < device_head + superblock_size || total_bytes < device_bytes)
        return fmt::format("its size is {}, but on this device {}", total_bytes, device_bytes);
    if (device_fsid != metadata_uuid)
        return "its device belongs to another file system";
    if (device_count == 0 || device_id == 0)
        return fmt::format("it counts {} devices, this one is number {}", device_count, device_id);
    if (system_chunks.size() > system_chunks_limit || system_chunks.size() < key_size + 48 + 32)
        return "its array of system chunks has an impossible length";
    if ((flags & ~super_flag::known) != 0)
        return fmt::format("it has unknown flags ({:#x})", flags & ~super_flag::known);
    return {};
}

std::string Superblock::features() const {
    std::string text;
    append_names(text, incompatible, incompatible_names, 'I');
    append_names(text, read_only_compatible, read_only_names, 'R');
    append_names(text, compatible, {}, 'C');
    return text;
}

Mirrors read_mirrors(BlockDevice& device, const Superblock& primary) {
    Mirrors mirrors;
    for (const std::uint64_t place : superblock_places) {
        // Beyond the end of the file system there may be what an earlier, larger one left.
        if (place == superblock_places[0] || place + superblock_size > primary.device_bytes)
            continue;
        const std::optional<Superblock> mirror = read_superblock(device, place);
        if (!mirror || !mirror->checksum_good || mirror->place != place || mirror->fsid != primary.fsid ||
            mirror->device_uuid != primary.device_uuid)
            continue;
        ++mirrors.good;
        mirrors.newest_generation = std::max(mirrors.newest_generation, mirror->generation);
    }
    return mirrors;
}

} // namespace disktool::btrfs
