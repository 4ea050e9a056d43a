// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exfat_filesystem.h"

#include "damage.h"
#include "fields.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::fat {

namespace {

constexpr std::size_t entry_size = 32;
constexpr std::uint8_t entry_end = 0x00;
constexpr std::uint8_t entry_bitmap = 0x81;
constexpr std::uint8_t entry_label = 0x83;
constexpr std::uint32_t bad_cluster = 0xfffffff7;
constexpr std::uint32_t chain_end = 0xffffffff;
/// The bitmap's entry is among the first few; a root directory beyond this is not searched.
constexpr std::uint64_t root_limit = 16 * MiB;
constexpr std::uint64_t piece = MiB;

} // namespace

ExfatFilesystem::ExfatFilesystem(BlockDevice& device, ExfatGeometry exfat)
    : device_(device), exfat_(std::move(exfat)), state_(unclean_state(exfat_.dirty, exfat_.media_failure)) {
    if (!exfat_.defect.empty())
        throw damage(device, exfat_.defect);
    if (!state_.free_map_trusted)
        return;
    read_root();
    check_bitmap_entry();
}

std::vector<std::uint32_t> ExfatFilesystem::chain(std::uint32_t first, std::uint64_t limit, const char* what) {
    std::vector<std::uint32_t> clusters;
    std::byte entry[4];
    for (std::uint32_t cluster = first; cluster != chain_end;) {
        if (cluster < 2 || cluster >= exfat_.cluster_end())
            throw damage(device_, fmt::format("the chain of {} (from cluster {} on) leads to cluster {:#x}",
                                              what, first, cluster));
        if (clusters.size() >= limit)
            throw damage(device_, fmt::format("the chain of {} (from cluster {} on) has more than {} clusters",
                                              what, first, limit));
        clusters.push_back(cluster);
        device_.read(exfat_.table + std::uint64_t{cluster} * 4, entry);
        cluster = load_le<std::uint32_t>(entry, 0);
    }
    return clusters;
}

void ExfatFilesystem::read_root() {
    root_ = chain(exfat_.root_cluster, std::max<std::uint64_t>(root_limit / exfat_.cluster_size, 1),
                  "the root directory");
    std::vector<std::byte> bytes;
    for (const std::uint32_t cluster : root_)
        for (std::uint64_t at = 0; at < exfat_.cluster_size; at += piece) {
            bytes.resize(std::min(piece, exfat_.cluster_size - at));
            device_.read(exfat_.cluster_offset(cluster) + at, bytes);
            for (std::size_t i = 0; i < bytes.size(); i += entry_size) {
                const auto entry = std::span<const std::byte>(bytes).subspan(i, entry_size);
                if (load_le<std::uint8_t>(entry, 0) == entry_end)
                    return;
                read_entry(entry);
            }
        }
}

void ExfatFilesystem::read_entry(std::span<const std::byte> entry) {
    const auto kind = load_le<std::uint8_t>(entry, 0);
    if (kind == entry_label)
        label_ = utf16_text(entry.subspan(2, std::min<std::size_t>(load_le<std::uint8_t>(entry, 1), 11) * 2));
    if (kind != entry_bitmap || (load_le<std::uint8_t>(entry, 1) & 1) != 0) // that of TexFAT's second FAT
        return;
    if (bitmap_cluster_ != 0)
        throw damage(device_, "its root directory names two allocation bitmaps");
    bitmap_cluster_ = load_le<std::uint32_t>(entry, 20);
    bitmap_length_ = load_le<std::uint64_t>(entry, 24);
}

void ExfatFilesystem::check_bitmap_entry() {
    if (bitmap_cluster_ == 0)
        throw damage(device_, fmt::format("its root directory (at byte {}) names no allocation bitmap",
                                          exfat_.cluster_offset(exfat_.root_cluster)));
    if (bitmap_length_ != divide_up(exfat_.clusters, 8))
        throw damage(device_, fmt::format("its allocation bitmap is said to have {} bytes, for {} clusters",
                                          bitmap_length_, exfat_.clusters));
}

ExtentSet ExfatFilesystem::bad_clusters() {
    ExtentSet bad;
    const std::uint64_t end = std::uint64_t{exfat_.cluster_end()} * 4;
    std::vector<std::byte> bytes;
    for (const Extent& extent : device_.extents({exfat_.table, end})) {
        if (extent.kind != ExtentKind::data)
            continue;
        // Whole entries, also where an extent ends within one.
        const std::uint64_t from = round_down(extent.range.offset - exfat_.table, 4);
        const std::uint64_t to = std::min(end, round_up(extent.range.end() - exfat_.table, 4));
        for (std::uint64_t offset = from; offset < to; offset += piece) {
            bytes.resize(std::min(piece, to - offset));
            device_.read(exfat_.table + offset, bytes);
            for (std::uint64_t at = 0; at < bytes.size(); at += 4) {
                const auto cluster = static_cast<std::uint32_t>((offset + at) / 4);
                if (cluster >= 2 && load_le<std::uint32_t>(bytes, at) == bad_cluster)
                    bad.append({exfat_.cluster_offset(cluster), exfat_.cluster_size});
            }
        }
    }
    return bad;
}

void ExfatFilesystem::add_free(std::span<const std::byte> bits, std::uint64_t first, ExtentSet& free) const {
    const auto add = [&](std::uint64_t index, std::uint64_t count) {
        free.append({exfat_.data + index * exfat_.cluster_size, count * exfat_.cluster_size});
    };
    for (std::uint64_t index = first, at = 0; at < bits.size() && index < exfat_.clusters; index += 8, ++at) {
        const auto eight = std::to_integer<unsigned>(bits[at]);
        const std::uint64_t count = std::min<std::uint64_t>(8, exfat_.clusters - index);
        if (eight == 0)
            add(index, count);
        else if (eight != 0xff)
            for (std::uint64_t bit = 0; bit < count; ++bit)
                if ((eight >> bit & 1) == 0)
                    add(index + bit, 1);
    }
}

const ExtentSet& ExfatFilesystem::free_clusters() {
    if (free_)
        return *free_;
    const std::uint64_t needed = divide_up(bitmap_length_, exfat_.cluster_size);
    const std::vector<std::uint32_t> clusters = chain(bitmap_cluster_, needed, "the allocation bitmap");
    if (clusters.size() < needed)
        throw damage(device_, fmt::format("its allocation bitmap (at byte {}) has {} clusters and needs {}",
                                          exfat_.cluster_offset(bitmap_cluster_), clusters.size(), needed));
    ExtentSet free;
    std::vector<std::byte> bits;
    for (std::size_t i = 0; i < clusters.size(); ++i) {
        const std::uint64_t start = i * exfat_.cluster_size;
        const std::uint64_t length = std::min(exfat_.cluster_size, bitmap_length_ - start);
        for (std::uint64_t at = 0; at < length; at += piece) {
            bits.resize(std::min(piece, length - at));
            device_.read(exfat_.cluster_offset(clusters[i]) + at, bits);
            add_free(bits, (start + at) * 8, free);
        }
    }
    free = free.subtract(bad_clusters());
    check_metadata(clusters, free);
    free_ = std::move(free);
    return *free_;
}

void ExfatFilesystem::check_metadata(const std::vector<std::uint32_t>& bitmap, const ExtentSet& free) const {
    std::vector<Range> metadata;
    for (const std::vector<std::uint32_t>* list : {&bitmap, &root_})
        for (const std::uint32_t cluster : *list)
            metadata.push_back({exfat_.cluster_offset(cluster), exfat_.cluster_size});
    const ExtentSet both = ExtentSet::from_unsorted(std::move(metadata)).intersect(free);
    if (!both.empty())
        throw damage(device_,
                     fmt::format("its allocation bitmap (at byte {}) calls the metadata at byte {} free",
                                 exfat_.cluster_offset(bitmap_cluster_), both.span().offset));
}

FilesystemUsage ExfatFilesystem::usage() {
    FilesystemUsage usage;
    usage.size = exfat_.total_size;
    usage.free = state_.free_map_trusted ? free_clusters().total() : 0;
    usage.block_size = static_cast<std::uint32_t>(exfat_.cluster_size);
    usage.label = label_;
    usage.uuid = serial_text(exfat_.serial);
    return usage;
}

ExtentSet ExfatFilesystem::free_extents() {
    demand_trust(device_, "exFAT", state_);
    return free_clusters();
}

MinimumSize ExfatFilesystem::minimum_size() {
    demand_trust(device_, "exFAT", state_);
    return fixed_size(exfat_.total_size);
}

Details ExfatFilesystem::details() {
    return {
        {"kind", std::string("exFAT")},
        {"state", state_.sentence},
        {"cluster_bytes", exfat_.cluster_size},
        {"clusters", std::uint64_t{exfat_.clusters}},
    };
}

void ExfatFilesystem::plan_resize(Plan&, const FilesystemResize&) {
    throw unsupported(device_, fixed_size(0).sentence, Reason::capability_missing);
}

} // namespace disktool::fat
