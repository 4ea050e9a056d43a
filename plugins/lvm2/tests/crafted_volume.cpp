// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crafted_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace disktool::lvm2::test {

namespace {

constexpr const char* uuid = "0123456789abcdef0123456789abcdef";

/// Bit by bit, not as the plugin does it.
std::uint32_t crc(const std::string& bytes) {
    std::uint32_t value = 0xf597a6cf;
    for (const char c : bytes) {
        value ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit)
            value = value >> 1 ^ ((value & 1) != 0 ? 0xedb88320 : 0);
    }
    return value;
}

std::string bytes_of(BlockDevice& device, std::uint64_t offset, std::uint64_t length) {
    std::string bytes(length, '\0');
    device.read(offset, std::as_writable_bytes(std::span(bytes)));
    return bytes;
}

} // namespace

std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

std::string group_text(int sequence, const std::string& volumes, const std::string& physical,
                       const std::string& status) {
    const std::string own = fmt::format("pv0 {{ id = \"{}\" device = \"/dev/vda\" status = [\"ALLOCATABLE\"]\n"
                                        "dev_size = 131072 pe_start = 2048 pe_count = 62 }}\n",
                                        uuid);
    return fmt::format("vg {{ # a comment\nid = \"{}\"\nseqno = {}\nstatus = [{}]\nflags = []\n"
                       "extent_size = 2048\nphysical_volumes {{ {} }}\nlogical_volumes {{ {} }}\n}}\n"
                       "contents = \"Text Format Volume Group\"\nversion = 1\n",
                       uuid, sequence, status, physical.empty() ? own : physical, volumes);
}

CraftedVolume::CraftedVolume(const std::string& text, const std::string& second, std::uint64_t at) {
    std::string label =
        "LABELONE" + little_endian(1, 8) + little_endian(0, 4) + little_endian(32, 4) + "LVM2 001";
    label += uuid;
    label += little_endian(64 * MiB, 8);
    label += little_endian(1 * MiB, 8) + little_endian(0, 8) + std::string(16, '\0');
    label += little_endian(first_area, 8) + little_endian(area_size, 8);
    if (!second.empty())
        label += little_endian(second_area, 8) + little_endian(64 * KiB, 8);
    label += std::string(16, '\0') + little_endian(2, 4) + little_endian(1, 4) + std::string(16, '\0');
    put(label_at, label);
    seal_label();
    write_area(first_area, area_size, text, at);
    if (!second.empty())
        write_area(second_area, 64 * KiB, second, 512);
}

void CraftedVolume::put(std::uint64_t offset, const std::string& bytes) {
    device.write(offset, std::as_bytes(std::span(bytes)));
}

void CraftedVolume::seal_label() {
    put(label_at + 16, little_endian(crc(bytes_of(device, label_at + 20, 492)), 4));
}

void CraftedVolume::seal_area(std::uint64_t area) {
    put(area, little_endian(crc(bytes_of(device, area + 4, 508)), 4));
}

void CraftedVolume::write_area(std::uint64_t area, std::uint64_t size, const std::string& text,
                               std::uint64_t at) {
    put(area + 4, " LVM2 x[5A%r0N*>" + little_endian(1, 4) + little_endian(area, 8) + little_endian(size, 8) +
                      little_endian(at, 8) + little_endian(text.size(), 8) + little_endian(crc(text), 4) +
                      little_endian(0, 4));
    seal_area(area);
    const std::uint64_t first = std::min<std::uint64_t>(text.size(), size - at);
    put(area + at, text.substr(0, first));
    put(area + 512, text.substr(first));
}

} // namespace disktool::lvm2::test
