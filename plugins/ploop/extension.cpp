// SPDX-License-Identifier: LGPL-2.1-or-later
#include "extension.h"

#include "little_endian.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gcrypt.h>

#include <algorithm>
#include <bit>
#include <set>
#include <span>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t extension_magic = 0xAB234CEF23DCEA87;
constexpr std::uint64_t bitmap_magic = 0x20385FAE252CB34A;
constexpr std::uint64_t end_magic = 0;
constexpr std::size_t checksum_offset = 8;
constexpr std::size_t parts_offset = 24;
constexpr std::size_t part_header = 24;
constexpr std::size_t bitmap_header = 32; ///< before its table
constexpr std::uint64_t part_is_necessary = 1;

using Md5 = std::array<std::byte, 16>;

Md5 md5_of(std::span<const std::byte> bytes) {
    // libgcrypt wants its version asked once before anything else; C++ makes this safe with threads.
    [[maybe_unused]] static const char* version = gcry_check_version(nullptr);
    Md5 digest{};
    gcry_md_hash_buffer(GCRY_MD_MD5, digest.data(), bytes.data(), bytes.size());
    return digest;
}

/// Reads the parts of one extension cluster.
class ExtensionReader {
  public:
    ExtensionReader(File& file, const Header& header)
        : file_(file), header_(header), file_size_(file.status().size) {}

    FormatExtension read() {
        take_cluster(header_.extension_sector, "The format extension");
        std::vector<std::byte> cluster(header_.cluster_size());
        file_.read(header_.extension_sector * sector_size, cluster);
        if (get<std::uint64_t>(cluster, 0) != extension_magic) {
            refuse("there is no format extension");
        }
        const std::span<const std::byte> bytes(cluster);
        if (!std::ranges::equal(bytes.subspan(checksum_offset, sizeof(Md5)),
                                md5_of(bytes.subspan(parts_offset)))) {
            refuse("its MD5 is wrong");
        }
        read_parts(bytes.subspan(parts_offset));
        extension_.clusters.assign(clusters_.begin(), clusters_.end());
        return std::move(extension_);
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw Error(ErrorCode::damaged, fmt::format("{} at offset {} of {}", why,
                                                    header_.extension_sector * sector_size, file_.path()));
    }

    void take_cluster(std::uint64_t sector, const char* what) {
        const std::uint64_t cluster = sector / header_.cluster_sectors;
        // Compared in clusters: the number of a sector may be anything.
        if (sector % header_.cluster_sectors != 0 || cluster < header_.data_start() ||
            cluster >= file_size_ / header_.cluster_size()) {
            throw Error(ErrorCode::damaged,
                        fmt::format("{} of {} is said to be at sector {}, where no cluster can be", what,
                                    file_.path(), sector));
        }
        if (!clusters_.insert(cluster).second) {
            refuse(fmt::format("the cluster at sector {} is used twice by the format extension", sector));
        }
    }

    void read_parts(std::span<const std::byte> parts) {
        std::size_t at = 0;
        while (true) {
            if (parts.size() - at < part_header) {
                refuse("it does not come to an end");
            }
            const auto magic = get<std::uint64_t>(parts, at);
            const auto flags = get<std::uint64_t>(parts, at + 8);
            const auto size = get<std::uint32_t>(parts, at + 16);
            if (magic == end_magic) {
                return;
            }
            at += part_header;
            if (size > parts.size() - at) {
                refuse("it has a part that is larger than the cluster");
            }
            if (magic == bitmap_magic) {
                read_bitmap(parts.subspan(at, size));
            } else {
                extension_.unknown_parts = true;
                extension_.must_not_change |= (flags & part_is_necessary) != 0;
            }
            at += std::min<std::size_t>(round_up(size, 8), parts.size() - at);
        }
    }

    void read_bitmap(std::span<const std::byte> data) {
        if (data.size() < bitmap_header) {
            refuse("its bitmap is cut off");
        }
        const auto disk_sectors = get<std::uint64_t>(data, 0);
        if (disk_sectors != header_.disk_sectors) {
            refuse(fmt::format("its bitmap is of a disk of {} sectors, this one has {},", disk_sectors,
                               header_.disk_sectors));
        }
        ChangeBitmap bitmap;
        std::ranges::copy(data.subspan(8, bitmap.id.size()), bitmap.id.begin());
        bitmap.granularity_sectors = get<std::uint32_t>(data, 24);
        if (!std::has_single_bit(bitmap.granularity_sectors)) {
            refuse(fmt::format("its bitmap has the granularity {}", bitmap.granularity_sectors));
        }
        const auto entries = get<std::uint32_t>(data, 28);
        if (entries > (data.size() - bitmap_header) / sizeof(std::uint64_t) ||
            (entries != 0 && entries != bitmap_table_entries(header_, bitmap.granularity_sectors))) {
            refuse(fmt::format("its bitmap has a table of {} entries", entries));
        }
        bitmap.table.reserve(entries);
        for (std::size_t i = 0; i < entries; ++i) {
            const auto entry = get<std::uint64_t>(data, bitmap_header + i * sizeof(std::uint64_t));
            if (entry > 1) {
                take_cluster(entry, "A bitmap");
            }
            bitmap.table.push_back(entry);
        }
        extension_.bitmaps.push_back(std::move(bitmap));
    }

    File& file_;
    const Header& header_;
    const std::uint64_t file_size_;
    std::set<std::uint64_t> clusters_;
    FormatExtension extension_;
};

} // namespace

std::optional<BitmapId> parse_bitmap_id(std::string_view text) {
    constexpr std::string_view form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (text.size() != form.size()) {
        return std::nullopt;
    }
    BitmapId id{};
    std::size_t digits = 0;
    for (std::size_t i = 0; i < form.size(); ++i) {
        const char c = text[i];
        if (form[i] == '-') {
            if (c != '-') {
                return std::nullopt;
            }
            continue;
        }
        int value = 0;
        if (c >= '0' && c <= '9') {
            value = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            value = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            value = c - 'A' + 10;
        } else {
            return std::nullopt;
        }
        std::byte& byte = id[digits / 2];
        byte = byte << 4 | static_cast<std::byte>(value);
        ++digits;
    }
    return id;
}

std::string bitmap_id_text(const BitmapId& id) {
    std::string text;
    for (std::size_t i = 0; i < id.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text += '-';
        }
        text += fmt::format("{:02x}", std::to_integer<unsigned>(id[i]));
    }
    return text;
}

std::uint64_t bitmap_table_entries(const Header& header, std::uint32_t granularity_sectors) {
    const std::uint64_t bits = divide_up(header.disk_sectors, granularity_sectors);
    return divide_up(bits, header.cluster_size() * 8);
}

FormatExtension read_extension(File& file, const Header& header) {
    return ExtensionReader(file, header).read();
}

std::vector<std::byte> make_extension(const Header& header, const BitmapId& id,
                                      std::uint32_t granularity_sectors) {
    const std::uint64_t entries = bitmap_table_entries(header, granularity_sectors);
    // Behind the table there must be room for the mark of the end.
    const std::uint64_t room = header.cluster_size() - parts_offset - 2 * part_header - bitmap_header;
    if (entries > room / sizeof(std::uint64_t)) {
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("A change bitmap for a disk of {} needs a table that is larger than a cluster of {}; "
                        "use larger clusters.",
                        exact_size_text(header.disk_size()), size_text(header.cluster_size())));
    }
    std::vector<std::byte> cluster(header.cluster_size());
    const std::span<std::byte> bytes(cluster);
    put(bytes, 0, extension_magic);
    const std::span<std::byte> part = bytes.subspan(parts_offset);
    put(part, 0, bitmap_magic);
    put(part, 16, static_cast<std::uint32_t>(bitmap_header + entries * sizeof(std::uint64_t)));
    const std::span<std::byte> data = part.subspan(part_header);
    put(data, 0, header.disk_sectors);
    std::ranges::copy(id, data.subspan(8).begin());
    put(data, 24, granularity_sectors);
    put(data, 28, static_cast<std::uint32_t>(entries));
    std::ranges::copy(md5_of(bytes.subspan(parts_offset)), bytes.subspan(checksum_offset).begin());
    return cluster;
}

} // namespace disktool::ploop
