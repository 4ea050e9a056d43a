// SPDX-License-Identifier: LGPL-2.1-or-later
#include "header_switch.h"

#include "big_endian.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {

constexpr std::uint64_t end_marker = 8; ///< bytes
constexpr std::uint64_t bitmaps_length = 24;

std::uint32_t number(ExtensionType type) {
    return static_cast<std::uint32_t>(type);
}

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

/// The bitmap extension, if the first sector holds it whole.
const Extension* bitmaps_in_reach(const Header& header) {
    for (const Extension& extension : header.extensions) {
        if (extension.type == number(ExtensionType::bitmaps) && extension.length == bitmaps_length &&
            extension.offset + bitmaps_length <= HeaderSector::size) {
            return &extension;
        }
    }
    return nullptr;
}

} // namespace

HeaderSwitch::HeaderSwitch(File& file, const Header& header, const HeaderChange& change)
    : file_(file), header_(header), area_(header.cluster_size()) {
    file_.read_some(0, area_); // a file may end within its first cluster
    std::copy_n(area_.begin(), before_.size(), before_.begin());
    after_ = before_;
    const std::span<std::byte> sector = after_;
    store_big_endian<std::uint64_t>(sector, field::virtual_size, change.size);
    if (change.l1) {
        store_big_endian<std::uint32_t>(sector, field::l1_size, change.l1->entries);
        store_big_endian<std::uint64_t>(sector, field::l1_offset, change.l1->offset);
    }
    if (!change.refcount_table.empty()) {
        store_big_endian<std::uint64_t>(sector, field::refcount_table_offset, change.refcount_table.offset);
        store_big_endian<std::uint32_t>(
            sector, field::refcount_table_clusters,
            static_cast<std::uint32_t>(change.refcount_table.length >> header_.cluster_bits));
    }
    if (change.drop_snapshots) {
        store_big_endian<std::uint32_t>(sector, field::snapshot_count, 0);
        store_big_endian<std::uint64_t>(sector, field::snapshot_offset, 0);
    }
    if (header_.version >= 3) {
        store_big_endian<std::uint64_t>(sector, field::autoclear_features,
                                        header_.autoclear_features & known_autoclear);
    }
    if (change.drop_backing) {
        store_big_endian<std::uint64_t>(sector, field::backing_offset, 0);
        store_big_endian<std::uint32_t>(sector, field::backing_length, 0);
    } else {
        backing_offset_ = load_big_endian<std::uint64_t>(area_, field::backing_offset);
    }
    const Extension* const reachable = bitmaps_in_reach(header_);
    if (change.drop_backing || (change.bitmaps && reachable == nullptr)) {
        rebuild_extensions(change);
    } else if (change.bitmaps) {
        put_bitmaps(*change.bitmaps, sector.subspan(reachable->offset, bitmaps_length));
    }
}

void HeaderSwitch::put_bitmaps(const BitmapDirectoryLocation& place, std::span<std::byte> data) const {
    store_big_endian<std::uint32_t>(data, 0, place.count);
    store_big_endian<std::uint32_t>(data, 4, 0);
    store_big_endian<std::uint64_t>(data, 8, place.range.length);
    store_big_endian<std::uint64_t>(data, 16, place.range.offset);
}

std::vector<std::byte> HeaderSwitch::extension(std::uint32_t type, std::span<const std::byte> data) const {
    std::vector<std::byte> bytes(8 + round_up(data.size(), 8));
    store_big_endian<std::uint32_t>(std::span(bytes), 0, type);
    store_big_endian<std::uint32_t>(std::span(bytes), 4, static_cast<std::uint32_t>(data.size()));
    std::ranges::copy(data, bytes.begin() + 8);
    return bytes;
}

std::uint64_t HeaderSwitch::list_end() const {
    return header_.header_length + list_.size() + end_marker;
}

void HeaderSwitch::rebuild_extensions(const HeaderChange& change) {
    const std::span<const std::byte> area = area_;
    std::vector<std::byte> others;
    std::string last;
    for (const Extension& found : header_.extensions) {
        const auto data = area.subspan(found.offset, found.length);
        if (found.type == number(ExtensionType::feature_names)) {
            feature_names_ = extension(found.type, data);
        } else if (found.type == number(ExtensionType::bitmaps) && change.bitmaps) {
            std::vector<std::byte> place(bitmaps_length);
            put_bitmaps(*change.bitmaps, place);
            append(list_, extension(found.type, place));
        } else if (found.type != number(ExtensionType::backing_format) || !change.drop_backing) {
            append(others, extension(found.type, data));
            last = fmt::format("{:#x}", found.type);
        }
    }
    append(list_, others);
    const std::uint64_t backing_name = backing_offset_ != 0 ? backing_offset_ : HeaderSector::size;
    if (list_end() > std::min<std::uint64_t>(HeaderSector::size, backing_name)) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format(
                "{}: its header extensions (the last of them {}) do not fit into the first 512 bytes of "
                "the file, so they cannot be changed in one moment; \"qemu-img convert -O qcow2\" makes "
                "a copy without them",
                file_.path(), last.empty() ? "the bitmaps" : last),
            Reason::feature_not_supported);
    }
    if (list_end() + feature_names_.size() <= std::min<std::uint64_t>(HeaderSector::size, backing_name)) {
        append(list_, feature_names_);
        feature_names_.clear();
    }
    const auto from = after_.begin() + header_.header_length;
    std::fill(from, after_.begin() + static_cast<std::ptrdiff_t>(list_end()), std::byte{0});
    std::ranges::copy(list_, from);
}

void HeaderSwitch::perform() {
    try {
        file_.write(0, after_);
        file_.sync_data();
    } catch (...) {
        // Nobody knows what reached the disk. Written and synced once more, the old header is there for sure.
        undecided_ = true;
        file_.write(0, before_);
        file_.sync_data();
        undecided_ = false;
        throw;
    }
}

void HeaderSwitch::restore_feature_names() {
    if (feature_names_.empty()) {
        return;
    }
    std::vector<std::byte> list = list_;
    append(list, feature_names_);
    const std::uint64_t end = header_.header_length + list.size() + end_marker;
    if (end > (backing_offset_ != 0 ? backing_offset_ : header_.cluster_size())) {
        return;
    }
    std::vector<std::byte> whole = area_;
    std::ranges::copy(after_, whole.begin());
    const auto from = whole.begin() + header_.header_length;
    std::fill(from, whole.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
    std::ranges::copy(list, from);
    const std::span<const std::byte> bytes = whole;
    const std::uint64_t length = std::min(round_up(end, HeaderSector::size), header_.cluster_size());
    if (length > HeaderSector::size) {
        file_.write(HeaderSector::size, bytes.subspan(HeaderSector::size, length - HeaderSector::size));
        file_.sync_data();
    }
    file_.write(0, bytes.first(HeaderSector::size));
    file_.sync_data();
}

std::string HeaderSwitch::obstacle(File& file, const Header& header, bool drop_backing, bool move_bitmaps) {
    HeaderChange change;
    change.size = header.virtual_size;
    change.drop_backing = drop_backing;
    if (move_bitmaps) {
        change.bitmaps = header.bitmaps;
    }
    try {
        const HeaderSwitch tried(file, header, change);
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

} // namespace disktool::qcow2
