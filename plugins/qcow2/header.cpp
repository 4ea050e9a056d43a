// SPDX-License-Identifier: LGPL-2.1-or-later
#include "header.h"

#include "big_endian.h"
#include "damage.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <string_view>
#include <utility>

namespace disktool::qcow2 {

namespace {

constexpr std::uint32_t min_cluster_bits = 9;
constexpr std::uint32_t max_cluster_bits = 21;
constexpr std::uint32_t min_extended_cluster_bits = 14; ///< 32 subclusters of a sector each
constexpr std::uint32_t max_refcount_order = 6;
constexpr std::uint32_t max_backing_name = 1023;
constexpr std::uint64_t snapshot_entry_least = 40; ///< bytes of the shortest snapshot entry

class HeaderParser {
  public:
    explicit HeaderParser(File& file) : file_(file), path_(file.path()), file_size_(file.status().size) {}

    Header parse() {
        read_fixed_part();
        read_extensions();
        check_features();
        check_size();
        check_tables();
        return std::move(header_);
    }

  private:
    void read_fixed_part();
    void read_version_3(std::span<const std::byte> head);
    void read_extensions();
    void read_extension(const Extension& extension, std::span<const std::byte> data);
    void read_feature_names(std::span<const std::byte> data);
    void read_bitmap_location(std::span<const std::byte> data);
    std::string text(std::string_view what, std::span<const std::byte> data) const;
    void check_features() const;
    void check_size() const;
    void check_tables() const;
    [[noreturn]] void damaged(std::string_view what) const { throw_damaged(path_, what); }
    [[noreturn]] void unsupported(const std::string& what) const {
        throw Error(ErrorCode::unsupported, fmt::format("{} {}", path_, what), Reason::feature_not_supported);
    }

    File& file_;
    const std::string& path_;
    std::uint64_t file_size_;
    std::uint64_t backing_offset_ = 0;
    std::uint64_t backing_length_ = 0;
    Header header_;
};

void HeaderParser::read_fixed_part() {
    std::array<std::byte, 112> buffer{};
    const std::size_t length = file_.read_some(0, buffer);
    const std::span<const std::byte> head = buffer;
    if (length < sizeof magic || load_big_endian<std::uint32_t>(head, field::magic) != magic) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} is not a qcow2 image: it does not start with \"QFI\\xfb\".", path_),
                    Reason::format_not_supported);
    }
    if (length < field::end_of_version_2) {
        damaged(fmt::format("the file ends at {}, within the header", length));
    }
    header_.version = load_big_endian<std::uint32_t>(head, field::version);
    if (header_.version != 2 && header_.version != 3) {
        unsupported(
            fmt::format("is a qcow image of version {}; only versions 2 and 3 are supported. Convert it with "
                        "\"qemu-img convert -O qcow2\".",
                        header_.version));
    }
    backing_offset_ = load_big_endian<std::uint64_t>(head, field::backing_offset);
    backing_length_ = load_big_endian<std::uint32_t>(head, field::backing_length);
    header_.cluster_bits = load_big_endian<std::uint32_t>(head, field::cluster_bits);
    header_.virtual_size = round_down(load_big_endian<std::uint64_t>(head, field::virtual_size), 512);
    header_.crypt_method = CryptMethod{load_big_endian<std::uint32_t>(head, field::crypt_method)};
    header_.l1_size = load_big_endian<std::uint32_t>(head, field::l1_size);
    header_.l1_offset = load_big_endian<std::uint64_t>(head, field::l1_offset);
    header_.refcount_table_offset = load_big_endian<std::uint64_t>(head, field::refcount_table_offset);
    header_.refcount_table_clusters = load_big_endian<std::uint32_t>(head, field::refcount_table_clusters);
    header_.snapshot_count = load_big_endian<std::uint32_t>(head, field::snapshot_count);
    header_.snapshot_offset = load_big_endian<std::uint64_t>(head, field::snapshot_offset);
    header_.header_length = field::end_of_version_2;
    if (header_.cluster_bits < min_cluster_bits || header_.cluster_bits > max_cluster_bits) {
        damaged(fmt::format("cluster_bits at offset {} is {}; it must be {} to {}", field::cluster_bits,
                            header_.cluster_bits, min_cluster_bits, max_cluster_bits));
    }
    if (header_.version == 3) {
        if (length < field::end_of_version_3) {
            damaged(fmt::format("the file ends at {}, within the header", length));
        }
        read_version_3(head);
    }
}

void HeaderParser::read_version_3(std::span<const std::byte> head) {
    header_.incompatible_features = load_big_endian<std::uint64_t>(head, field::incompatible_features);
    header_.compatible_features = load_big_endian<std::uint64_t>(head, field::compatible_features);
    header_.autoclear_features = load_big_endian<std::uint64_t>(head, field::autoclear_features);
    const auto order = load_big_endian<std::uint32_t>(head, field::refcount_order);
    if (order > max_refcount_order) {
        damaged(fmt::format("refcount_order at offset {} is {}; it must be 0 to {}", field::refcount_order,
                            order, max_refcount_order));
    }
    header_.refcount_bits = 1u << order;
    header_.header_length = load_big_endian<std::uint32_t>(head, field::header_length);
    if (header_.header_length < field::end_of_version_3 || header_.header_length % 8 != 0 ||
        header_.header_length > header_.cluster_size()) {
        damaged(fmt::format(
            "header_length at offset {} is {}; it must be a multiple of 8 from {} to the cluster size",
            field::header_length, header_.header_length, field::end_of_version_3));
    }
    if (header_.header_length > field::compression_type) {
        header_.compression_type =
            CompressionType{load_big_endian<std::uint8_t>(head, field::compression_type)};
    }
}

void HeaderParser::read_extensions() {
    std::uint64_t end = header_.cluster_size();
    if (backing_offset_ != 0) {
        if (backing_length_ > max_backing_name || backing_offset_ < header_.header_length ||
            backing_offset_ > end || backing_length_ > end - backing_offset_) {
            damaged(fmt::format(
                "the name of the backing file ({} bytes at offset {}) does not lie between the header "
                "and the end of its cluster",
                backing_length_, backing_offset_));
        }
        end = backing_offset_;
    }
    // Bounded by the largest cluster, 2 MiB.
    std::vector<std::byte> area(end + (backing_offset_ != 0 ? backing_length_ : 0));
    area.resize(file_.read_some(0, area));
    if (backing_offset_ != 0) {
        if (area.size() < backing_offset_ + backing_length_) {
            damaged(fmt::format("the file ends at {}, within the name of the backing file", area.size()));
        }
        header_.backing_name =
            text("the name of the backing file", std::span(area).subspan(backing_offset_, backing_length_));
    }
    end = std::min<std::uint64_t>(end, area.size());
    for (std::uint64_t at = header_.header_length; end >= 8 && at <= end - 8;) {
        const Extension extension{load_big_endian<std::uint32_t>(area, at), at + 8,
                                  load_big_endian<std::uint32_t>(area, at + 4)};
        if (extension.type == static_cast<std::uint32_t>(ExtensionType::end)) {
            break;
        }
        if (extension.length > end - extension.offset) {
            damaged(
                fmt::format("the header extension {:#x} at offset {} is {} bytes long and does not end within "
                            "the header's cluster",
                            extension.type, at, extension.length));
        }
        read_extension(extension, std::span(area).subspan(extension.offset, extension.length));
        header_.extensions.push_back(extension);
        at = round_up(extension.offset + extension.length, 8);
    }
}

void HeaderParser::read_extension(const Extension& extension, std::span<const std::byte> data) {
    switch (ExtensionType{extension.type}) {
    case ExtensionType::backing_format:
        header_.backing_format = text("the format of the backing file", data);
        break;
    case ExtensionType::data_file:
        header_.data_file = text("the name of the data file", data);
        break;
    case ExtensionType::feature_names:
        read_feature_names(data);
        break;
    case ExtensionType::bitmaps:
        if (header_.autoclear_features & autoclear::bitmaps) {
            read_bitmap_location(data);
        }
        break;
    case ExtensionType::encryption_header:
        if (data.size() < 16) {
            damaged(fmt::format("the encryption header extension at offset {} is only {} bytes long",
                                extension.offset, data.size()));
        }
        header_.encryption_header =
            Range{load_big_endian<std::uint64_t>(data, 0), load_big_endian<std::uint64_t>(data, 8)};
        break;
    case ExtensionType::end:
        break;
    }
}

std::string HeaderParser::text(std::string_view what, std::span<const std::byte> data) const {
    std::string result(data.size(), '\0');
    std::transform(data.begin(), data.end(), result.begin(), [](std::byte b) { return static_cast<char>(b); });
    // A name with a NUL means one thing to us and another to the system calls.
    if (result.find('\0') != std::string::npos) {
        damaged(fmt::format("{} holds a NUL byte", what));
    }
    return result;
}

void HeaderParser::read_feature_names(std::span<const std::byte> data) {
    constexpr std::size_t entry_length = 48;
    for (std::size_t at = 0; at + entry_length <= data.size(); at += entry_length) {
        const auto kind = std::to_integer<std::uint8_t>(data[at]);
        if (kind > 2) {
            continue;
        }
        FeatureName feature{FeatureName::Kind{kind}, std::to_integer<std::uint8_t>(data[at + 1]), {}};
        for (std::size_t i = at + 2; i < at + entry_length && data[i] != std::byte{0}; ++i) {
            feature.name.push_back(static_cast<char>(data[i]));
        }
        feature.name = printable(std::move(feature.name));
        header_.feature_names.push_back(std::move(feature));
    }
}

void HeaderParser::read_bitmap_location(std::span<const std::byte> data) {
    if (data.size() != 24) {
        damaged(fmt::format("the bitmap extension of the header has {} bytes instead of 24", data.size()));
    }
    header_.bitmaps = BitmapDirectoryLocation{
        load_big_endian<std::uint32_t>(data, 0),
        Range{load_big_endian<std::uint64_t>(data, 16), load_big_endian<std::uint64_t>(data, 8)}};
}

void HeaderParser::check_features() const {
    if (const std::uint64_t unknown = header_.incompatible_features & ~incompatible::known; unknown != 0) {
        const int bit = std::countr_zero(unknown);
        const auto named =
            std::find_if(header_.feature_names.begin(), header_.feature_names.end(), [&](const FeatureName& f) {
                return f.kind == FeatureName::Kind::incompatible && f.bit == bit && !f.name.empty();
            });
        unsupported(fmt::format(
            "uses an incompatible feature that is not supported: {} (bit {} at offset {}). Open it with "
            "the program that made it.",
            named != header_.feature_names.end() ? fmt::format("\"{}\"", named->name) : "one without a name",
            bit, field::incompatible_features));
    }
    if (header_.crypt_method > CryptMethod::luks) {
        unsupported(fmt::format("uses the unknown encryption method {} (offset {}).",
                                static_cast<std::uint32_t>(header_.crypt_method), field::crypt_method));
    }
    if (header_.compression_type > CompressionType::zstd) {
        unsupported(fmt::format("uses the unknown compression type {} (offset {}).",
                                static_cast<unsigned>(header_.compression_type), field::compression_type));
    }
    const bool says_other = header_.incompatible_features & incompatible::compression;
    if (says_other != (header_.compression_type != CompressionType::deflate)) {
        damaged(fmt::format("the compression type {} at offset {} contradicts the incompatible feature bit 3",
                            static_cast<unsigned>(header_.compression_type), field::compression_type));
    }
    if (header_.extended_l2() && header_.cluster_bits < min_extended_cluster_bits) {
        damaged(fmt::format(
            "it has extended L2 entries (incompatible feature bit 4), but cluster_bits at offset {} is "
            "{}; these need at least {}",
            field::cluster_bits, header_.cluster_bits, min_extended_cluster_bits));
    }
}

void HeaderParser::check_size() const {
    const std::uint64_t size = header_.virtual_size;
    const std::uint64_t needed = divide_up(size, header_.l1_coverage());
    if (size >= 1ull << 63 || needed > max_l1_bytes / 8) {
        damaged(fmt::format(
            "the virtual size at offset {} is {} bytes; with clusters of {} bytes no more than {} are "
            "possible",
            field::virtual_size, size, header_.cluster_size(),
            std::min<std::uint64_t>(max_l1_bytes / 8 * header_.l1_coverage(), (1ull << 63) - 512)));
    }
    if (header_.l1_size > max_l1_bytes / 8) {
        damaged(fmt::format("l1_size at offset {} is {} entries; no more than {} are possible", field::l1_size,
                            header_.l1_size, max_l1_bytes / 8));
    }
    if (header_.l1_size < needed) {
        damaged(fmt::format("l1_size at offset {} is {} entries; a disk of {} bytes needs {}", field::l1_size,
                            header_.l1_size, size, needed));
    }
}

void HeaderParser::check_tables() const {
    struct Table {
        const char* what;
        Range place;
    };
    std::vector<Table> tables;
    if (header_.l1_size != 0) {
        tables.push_back({"the L1 table", {header_.l1_offset, std::uint64_t{header_.l1_size} * 8}});
    }
    const std::uint64_t refcount_table = std::uint64_t{header_.refcount_table_clusters} << header_.cluster_bits;
    if (refcount_table == 0 || refcount_table > max_refcount_table_bytes) {
        damaged(fmt::format(
            "refcount_table_clusters at offset {} is {}; the table must have 1 cluster to {} bytes",
            field::refcount_table_clusters, header_.refcount_table_clusters, max_refcount_table_bytes));
    }
    tables.push_back({"the refcount table", {header_.refcount_table_offset, refcount_table}});
    if (header_.snapshot_count > max_snapshots) {
        damaged(fmt::format("the number of snapshots at offset {} is {}; no more than {} are possible",
                            field::snapshot_count, header_.snapshot_count, max_snapshots));
    }
    if (header_.snapshot_count != 0) {
        tables.push_back(
            {"the snapshot table", {header_.snapshot_offset, header_.snapshot_count * snapshot_entry_least}});
    }
    if (header_.encryption_header) {
        tables.push_back({"the encryption header", *header_.encryption_header});
    }
    if (header_.bitmaps) {
        const auto& [count, range] = *header_.bitmaps;
        if (count == 0 || count > max_bitmaps || range.length > std::uint64_t{max_bitmaps} * 1024) {
            damaged(fmt::format("the bitmap extension names {} bitmaps in a directory of {} bytes", count,
                                range.length));
        }
        tables.push_back({"the bitmap directory", range});
    }
    for (const Table& table : tables) {
        check_place(path_, table.what, table.place, header_.cluster_size(), file_size_);
    }
    std::sort(tables.begin(), tables.end(),
              [](const Table& a, const Table& b) { return a.place.offset < b.place.offset; });
    for (std::size_t i = 1; i < tables.size(); ++i) {
        if (tables[i - 1].place.end() > tables[i].place.offset) {
            damaged(fmt::format("{} at offset {} overlaps {} at offset {}", tables[i - 1].what,
                                tables[i - 1].place.offset, tables[i].what, tables[i].place.offset));
        }
    }
}

} // namespace

Header parse_header(File& file) {
    return HeaderParser(file).parse();
}

} // namespace disktool::qcow2
