// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metadata_area.h"

#include "fields.h"
#include "label.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace disktool::lvm2 {

namespace {

constexpr std::size_t header_size = 512;
constexpr std::size_t locations_at = 40;
constexpr std::size_t magic_at = 4;
constexpr char magic[] = " LVM2 x[5A%r0N*>";
constexpr std::uint32_t flag_ignored = 1;
/// Ten thousand volumes take about 5 MiB.
constexpr std::uint64_t text_limit = 32 * MiB;

MetadataText damaged(std::string defect) {
    MetadataText result;
    result.status = MetadataText::Status::damaged;
    result.defect = std::move(defect);
    return result;
}

} // namespace

MetadataText read_metadata_area(BlockDevice& device, Range area) {
    if (area.length < 2 * header_size)
        return damaged(fmt::format("the metadata area at byte {} has only {} bytes", area.offset, area.length));
    std::array<std::byte, header_size> header;
    device.read(area.offset, header);
    if (std::memcmp(header.data() + magic_at, magic, sizeof magic - 1) != 0)
        return damaged(fmt::format("the metadata area at byte {} has no header", area.offset));
    if (load_le<std::uint32_t>(header, 0) != checksum(std::span(header).subspan(magic_at)))
        return damaged(
            fmt::format("the header of the metadata area at byte {} has a bad checksum", area.offset));
    const auto version = load_le<std::uint32_t>(header, 20);
    if (version != 1)
        return damaged(
            fmt::format("the header of the metadata area at byte {} has version {}", area.offset, version));
    const auto start = load_le<std::uint64_t>(header, 24);
    const auto size = load_le<std::uint64_t>(header, 32);
    if (start != area.offset || size != area.length)
        return damaged(fmt::format("the header of the metadata area at byte {} is for {} bytes at byte {}, the "
                                   "label says {} bytes",
                                   area.offset, size, start, area.length));

    const auto offset = load_le<std::uint64_t>(header, locations_at);
    const auto length = load_le<std::uint64_t>(header, locations_at + 8);
    const auto crc = load_le<std::uint32_t>(header, locations_at + 16);
    const auto flags = load_le<std::uint32_t>(header, locations_at + 20);
    MetadataText result;
    if ((flags & flag_ignored) != 0) {
        result.status = MetadataText::Status::ignored;
        return result;
    }
    if (offset == 0 || length == 0)
        return result;
    if (offset < header_size || offset >= size || length > size - header_size || length > text_limit)
        return damaged(
            fmt::format("the metadata area at byte {} ({} bytes) is said to hold {} bytes of text at "
                        "{} in it",
                        area.offset, size, length, offset));
    result.text.resize(length);
    const std::uint64_t first = std::min(length, size - offset);
    const std::span<std::byte> text = std::as_writable_bytes(std::span(result.text));
    device.read(area.offset + offset, text.first(first));
    if (first < length)
        device.read(area.offset + header_size, text.subspan(first));
    result.place = area.offset + offset;
    if (checksum(text) != crc)
        return damaged(fmt::format("the text at byte {} of the metadata area at byte {} has a bad checksum",
                                   offset, area.offset));
    result.status = MetadataText::Status::present;
    return result;
}

} // namespace disktool::lvm2
