// SPDX-License-Identifier: GPL-2.0-or-later
#include "mft_record.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace disktool::ntfs {

namespace {

constexpr std::size_t block = 512;
constexpr std::size_t header = 0x2a; // all that every version has
constexpr std::size_t resident_header = 0x18;
constexpr std::size_t other_header = 0x40;

/// None where it makes no sense.
std::optional<Attribute> parse_attribute(Bytes raw) {
    if (raw.size() < resident_header)
        return std::nullopt;
    Attribute attribute;
    attribute.type = static_cast<AttributeType>(little<std::uint32_t>(raw, 0));
    attribute.resident = little<std::uint8_t>(raw, 8) == 0;
    attribute.flags = little<std::uint16_t>(raw, 0x0c);
    const std::size_t name_at = little<std::uint16_t>(raw, 0x0a);
    const std::size_t name_size = std::size_t{2} * little<std::uint8_t>(raw, 9);
    if (name_size != 0) {
        if (name_at > raw.size() || name_size > raw.size() - name_at)
            return std::nullopt;
        attribute.name = raw.subspan(name_at, name_size);
    }
    if (attribute.resident) {
        const std::size_t size = little<std::uint32_t>(raw, 0x10);
        const std::size_t at = little<std::uint16_t>(raw, 0x14);
        if (at > raw.size() || size > raw.size() - at)
            return std::nullopt;
        attribute.value = raw.subspan(at, size);
        return attribute;
    }
    if (raw.size() < other_header)
        return std::nullopt;
    attribute.lowest_vcn = little<std::uint64_t>(raw, 0x10);
    attribute.highest_vcn = little<std::uint64_t>(raw, 0x18);
    attribute.data_size = little<std::uint64_t>(raw, 0x30);
    attribute.initialized_size = little<std::uint64_t>(raw, 0x38);
    const std::size_t pairs_at = little<std::uint16_t>(raw, 0x20);
    if (pairs_at < other_header || pairs_at >= raw.size() || (attribute.lowest_vcn >> 40) != 0)
        return std::nullopt;
    attribute.mapping_pairs = raw.subspan(pairs_at);
    return attribute;
}

} // namespace

bool undo_update_sequence(std::span<std::byte> record) {
    if (record.size() < block || record.size() % block != 0)
        return false;
    const std::size_t at = little<std::uint16_t>(record, 4);
    const std::size_t count = little<std::uint16_t>(record, 6);
    // The array must not cover what it protects, so it ends before the last two bytes of the first block.
    if (count != record.size() / block + 1 || at < 8 || at % 2 != 0 || at + 2 * count > block - 2)
        return false;
    for (std::size_t i = 1; i < count; ++i)
        if (std::memcmp(&record[i * block - 2], &record[at], 2) != 0)
            return false;
    for (std::size_t i = 1; i < count; ++i)
        std::memcpy(&record[i * block - 2], &record[at + 2 * i], 2);
    return true;
}

bool Attribute::named(std::string_view ascii) const {
    if (name.size() != 2 * ascii.size())
        return false;
    for (std::size_t i = 0; i < ascii.size(); ++i)
        if (little<std::uint16_t>(name, 2 * i) != static_cast<unsigned char>(ascii[i]))
            return false;
    return true;
}

FileReference FileReference::at(Bytes bytes, std::size_t offset) {
    const auto raw = little<std::uint64_t>(bytes, offset);
    return {raw & 0xffffffffffff, static_cast<std::uint16_t>(raw >> 48)};
}

std::optional<MftRecord> MftRecord::parse(std::vector<std::byte> raw) {
    if (raw.size() < block || std::memcmp(raw.data(), "FILE", 4) != 0 || !undo_update_sequence(raw))
        return std::nullopt;
    MftRecord record;
    record.sequence_ = little<std::uint16_t>(raw, 0x10);
    record.first_attribute_ = little<std::uint16_t>(raw, 0x14);
    record.flags_ = little<std::uint16_t>(raw, 0x16);
    record.used_ = little<std::uint32_t>(raw, 0x18);
    const auto allocated = little<std::uint32_t>(raw, 0x1c);
    record.base_ = FileReference::at(raw, 0x20);
    if (record.first_attribute_ < header || record.first_attribute_ % 8 != 0 || record.used_ > raw.size() ||
        record.first_attribute_ >= record.used_ || allocated != raw.size())
        return std::nullopt;
    record.raw_ = std::move(raw);
    return record;
}

std::optional<std::vector<Attribute>> MftRecord::attributes() const {
    std::vector<Attribute> found;
    Bytes rest = Bytes(raw_).first(used_).subspan(first_attribute_);
    // Each is at least 24 bytes long, so this ends.
    while (rest.size() >= 4) {
        if (little<std::uint32_t>(rest, 0) == static_cast<std::uint32_t>(AttributeType::end))
            return found;
        if (rest.size() < 8)
            return std::nullopt;
        const std::size_t length = little<std::uint32_t>(rest, 4);
        if (length < resident_header || length % 8 != 0 || length > rest.size())
            return std::nullopt;
        std::optional<Attribute> attribute = parse_attribute(rest.first(length));
        if (!attribute)
            return std::nullopt;
        found.push_back(*attribute);
        rest = rest.subspan(length);
    }
    return std::nullopt; // no end mark
}

} // namespace disktool::ntfs
