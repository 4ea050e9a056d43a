// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bitmaps.h"

#include "big_endian.h"
#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

namespace disktool::qcow2 {

namespace {

constexpr std::size_t fixed_length = 24;
constexpr std::uint32_t flag_in_use = 1u << 0;
constexpr std::uint32_t flag_auto = 1u << 1;
constexpr std::uint32_t flag_extra_data_compatible = 1u << 2;
constexpr std::uint32_t known_flags = flag_in_use | flag_auto | flag_extra_data_compatible;
constexpr std::uint8_t type_dirty_tracking = 1;
// QEMU's limits.
constexpr std::uint8_t min_granularity_bits = 9;
constexpr std::uint8_t max_granularity_bits = 31;
constexpr std::uint32_t max_table_entries = 0x800'0000;
constexpr std::uint16_t max_name = 1023;

} // namespace

std::vector<Bitmap> read_bitmaps(File& file, const Header& header) {
    std::vector<Bitmap> bitmaps;
    if (!header.bitmaps) {
        return bitmaps;
    }
    const std::uint64_t file_size = file.status().size;
    std::uint64_t at = header.bitmaps->range.offset;
    const std::uint64_t end = header.bitmaps->range.end();
    for (std::uint32_t i = 0; i < header.bitmaps->count; ++i) {
        const auto damaged = [&](std::string_view what) {
            throw_damaged(file.path(), fmt::format("bitmap {} in the directory at offset {} {}", i, at, what));
        };
        if (end - at < fixed_length) {
            damaged("does not end within the directory");
        }
        std::array<std::byte, fixed_length> head;
        file.read(at, head);
        Bitmap bitmap;
        bitmap.entry_offset = at - header.bitmaps->range.offset;
        bitmap.table_offset = load_big_endian<std::uint64_t>(head, 0);
        bitmap.table_entries = load_big_endian<std::uint32_t>(head, 8);
        const auto flags = load_big_endian<std::uint32_t>(head, 12);
        const auto type = load_big_endian<std::uint8_t>(head, 16);
        const auto granularity_bits = load_big_endian<std::uint8_t>(head, 17);
        const auto name_length = load_big_endian<std::uint16_t>(head, 18);
        const auto extra_length = load_big_endian<std::uint32_t>(head, 20);
        if ((flags & ~known_flags) != 0 || type != type_dirty_tracking) {
            damaged(fmt::format("has unknown flags or an unknown type (flags {:#x}, type {})", flags, type));
        }
        if (granularity_bits < min_granularity_bits || granularity_bits > max_granularity_bits) {
            damaged(fmt::format("has the granularity 2^{}", granularity_bits));
        }
        if (bitmap.table_entries == 0 || bitmap.table_entries > max_table_entries) {
            damaged(fmt::format("has a table of {} entries", bitmap.table_entries));
        }
        // 24 + 2^32 + 2^16 cannot overflow; the entry is padded to 8 bytes, which the directory contains.
        const std::uint64_t length = round_up(fixed_length + std::uint64_t{extra_length} + name_length, 8);
        if (length > end - at || name_length > max_name) {
            damaged("does not end within the directory");
        }
        check_place(file.path(), fmt::format("the table of bitmap {} (at offset {})", i, at),
                    {bitmap.table_offset, bitmap.table_length()}, header.cluster_size(), file_size);
        bitmap.info.name.resize(name_length);
        file.read(at + fixed_length + extra_length, std::as_writable_bytes(std::span(bitmap.info.name)));
        bitmap.info.granularity = std::uint64_t{1} << granularity_bits;
        bitmap.info.recording = flags & flag_auto;
        bitmap.info.in_use = flags & flag_in_use;
        bitmaps.push_back(std::move(bitmap));
        at += length;
    }
    return bitmaps;
}

void for_each_bitmap_cluster(File& file, const Header& header, const Bitmap& bitmap,
                             const std::function<void(std::uint64_t)>& visit) {
    constexpr std::size_t chunk = 8192; ///< entries read at a time
    const std::uint64_t file_size = file.status().size;
    const std::string what = fmt::format("a cluster of bitmap \"{}\"", printable(bitmap.info.name));
    std::vector<std::uint64_t> words(std::min<std::size_t>(chunk, bitmap.table_entries));
    for (std::uint64_t i = 0; i < bitmap.table_entries; i += words.size()) {
        words.resize(std::min<std::uint64_t>(chunk, bitmap.table_entries - i));
        file.read(bitmap.table_offset + i * 8, std::as_writable_bytes(std::span(words)));
        swap_words(words);
        for (const std::uint64_t word : words) {
            if (word & bitmap_bits::reserved) {
                throw_damaged(file.path(), fmt::format("{} is said by its table at offset {} to be {:#x}, with "
                                                       "reserved bits set",
                                                       what, bitmap.table_offset, word));
            }
            if (const std::uint64_t offset = word & bitmap_bits::offset; offset != 0) {
                check_place(file.path(), what, {offset, header.cluster_size()}, header.cluster_size(),
                            file_size);
                visit(offset);
            }
        }
    }
}

} // namespace disktool::qcow2
