// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/gpt.h"

#include "partition/little_endian.h"

#include <disktool/size.h>

#include <boost/crc.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace disktool {
namespace {

constexpr std::array<std::uint32_t, 2> sector_sizes{512, 4096};
constexpr std::uint64_t max_entries_bytes = MiB; // 64 times what every tool makes
constexpr std::uint32_t min_entry_size = 128;
constexpr std::uint32_t max_entry_size = 4096;
constexpr std::uint64_t max_disk = 1ull << 62; // bytes; still a file size

std::uint32_t crc32(std::span<const std::byte> bytes) {
    boost::crc_32_type crc;
    crc.process_bytes(bytes.data(), bytes.size());
    return crc.checksum();
}

std::uint32_t header_crc(std::span<const std::byte> header) {
    const auto size = load_le<std::uint32_t>(header, gpt_field::header_size);
    std::vector<std::byte> bytes(header.begin(), header.begin() + size);
    store_le<std::uint32_t>(bytes, gpt_field::header_crc, 0);
    return crc32(bytes);
}

/// What is wrong with the header alone; empty: nothing.
std::string header_problem(const GptCopy& copy, std::uint64_t sectors) {
    const std::span<const std::byte> header = copy.header;
    const std::uint64_t max_lba = max_disk / copy.sector_size;
    if (!copy.signature) {
        return "no GPT signature there";
    }
    const auto size = load_le<std::uint32_t>(header, gpt_field::header_size);
    if (size < gpt_field::end || size > header.size()) {
        return fmt::format("impossible header length {}", size);
    }
    if (header_crc(header) != load_le<std::uint32_t>(header, gpt_field::header_crc)) {
        return "bad header checksum";
    }
    if (load_le<std::uint64_t>(header, gpt_field::my_lba) != copy.lba) {
        return "it says that it belongs elsewhere";
    }
    const auto entry_size = load_le<std::uint32_t>(header, gpt_field::entry_size);
    const auto count = load_le<std::uint32_t>(header, gpt_field::entry_count);
    if (entry_size < min_entry_size || entry_size > max_entry_size || entry_size % 8 != 0 || count == 0 ||
        count > max_entries_bytes / entry_size) {
        return fmt::format("impossible table of {} entries of {} bytes", count, entry_size);
    }
    if (copy.entries_lba < 2 || copy.entries_lba >= sectors ||
        copy.entries_sectors > sectors - copy.entries_lba ||
        (copy.lba >= copy.entries_lba && copy.lba - copy.entries_lba < copy.entries_sectors)) {
        return fmt::format("its entries cannot lie at sector {}", copy.entries_lba);
    }
    if (copy.first_usable > copy.last_usable || copy.last_usable >= max_lba || copy.alternate_lba >= max_lba) {
        return "impossible bounds for partitions";
    }
    return {};
}

void read_entries(BlockDevice& disk, GptCopy& copy) {
    copy.entries.resize(copy.entries_sectors * copy.sector_size);
    disk.read(copy.entries_range().offset, copy.entries);
    const auto entries = std::span(copy.entries).first(gpt_entries_length(copy.header));
    if (crc32(entries) != load_le<std::uint32_t>(copy.header, gpt_field::entries_crc)) {
        copy.problem = "bad checksum of its entries";
        return;
    }
    const auto entry_size = load_le<std::uint32_t>(copy.header, gpt_field::entry_size);
    for (std::size_t at = 0; at < entries.size(); at += entry_size) {
        const auto type = entries.subspan(at, 16);
        if (std::any_of(type.begin(), type.end(), [](std::byte b) { return b != std::byte{0}; })) {
            ++copy.used_entries;
        }
    }
}

GptCopy read_copy(BlockDevice& disk, std::uint32_t sector_size, std::uint64_t lba) {
    GptCopy copy;
    copy.lba = lba;
    copy.sector_size = sector_size;
    const std::uint64_t sectors = disk.size() / sector_size;
    if (lba == 0 || lba >= sectors) {
        copy.problem = "its place is not on the disk";
        return copy;
    }
    copy.header.resize(sector_size);
    disk.read(lba * sector_size, copy.header);
    copy.signature = std::memcmp(copy.header.data(), "EFI PART", 8) == 0;
    copy.alternate_lba = load_le<std::uint64_t>(copy.header, gpt_field::alternate_lba);
    copy.first_usable = load_le<std::uint64_t>(copy.header, gpt_field::first_usable);
    copy.last_usable = load_le<std::uint64_t>(copy.header, gpt_field::last_usable);
    copy.entries_lba = load_le<std::uint64_t>(copy.header, gpt_field::entries_lba);
    copy.entries_sectors = divide_up(gpt_entries_length(copy.header), sector_size);
    copy.problem = header_problem(copy, sectors);
    if (copy.intact()) {
        read_entries(disk, copy);
    }
    return copy;
}

/// Without a primary that says where.
GptCopy find_backup(BlockDevice& disk, std::uint32_t sector_size, std::uint64_t protective_end) {
    const std::uint64_t sectors = disk.size() / sector_size;
    if (sectors < 3) {
        return {};
    }
    GptCopy last = read_copy(disk, sector_size, sectors - 1);
    if (last.intact() || protective_end >= last.lba || protective_end <= 1) {
        return last;
    }
    GptCopy earlier = read_copy(disk, sector_size, protective_end);
    return earlier.intact() ? std::move(earlier) : std::move(last);
}

} // namespace

bool GptCopy::agrees_with(const GptCopy& other) const {
    const auto same = [&](std::size_t at, std::size_t length) {
        return std::memcmp(header.data() + at, other.header.data() + at, length) == 0;
    };
    return same(gpt_field::first_usable, gpt_field::entries_lba - gpt_field::first_usable) &&
           same(gpt_field::entry_count, gpt_field::end - gpt_field::entry_count);
}

std::size_t gpt_entries_length(std::span<const std::byte> header) {
    return static_cast<std::size_t>(load_le<std::uint32_t>(header, gpt_field::entry_count)) *
           load_le<std::uint32_t>(header, gpt_field::entry_size);
}

void seal_gpt_header(std::span<std::byte> header, std::span<const std::byte> entries) {
    store_le(header, gpt_field::entries_crc, crc32(entries));
    store_le(header, gpt_field::header_crc, header_crc(header));
}

Gpt find_gpt(BlockDevice& disk, std::uint64_t protective_end) {
    std::array<Gpt, 2> found;
    for (std::size_t i = 0; i < sector_sizes.size(); ++i) {
        Gpt& gpt = found[i];
        gpt.primary = read_copy(disk, sector_sizes[i], 1);
        if (!gpt.primary.intact()) {
            continue;
        }
        gpt.backup = read_copy(disk, sector_sizes[i], gpt.primary.alternate_lba);
        if (gpt.backup.lba == 1) {
            gpt.backup.problem = "the primary names itself as its backup";
        }
        return std::move(gpt);
    }
    for (std::size_t i = 0; i < sector_sizes.size(); ++i) {
        found[i].backup = find_backup(disk, sector_sizes[i], protective_end);
        if (found[i].backup.intact()) {
            return std::move(found[i]);
        }
    }
    return std::move(found[found[0].primary.signature || !found[1].primary.signature ? 0 : 1]);
}

} // namespace disktool
