// SPDX-License-Identifier: LGPL-2.1-or-later
#include "grow_layout.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {

template <typename T>
void sort_unique(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

/// The largest disk: QEMU's limit of the L1 table.
std::uint64_t largest_size(const Header& header) {
    return max_l1_bytes / 8 * header.l1_coverage();
}

} // namespace

GrowLayout::GrowLayout(Image& image, const ResizeRequest& request)
    : old_size(image.metadata().header().virtual_size), new_size(request.new_size) {
    const Header& header = image.metadata().header();
    check_size(image, header);
    const std::uint64_t cluster_size = header.cluster_size();
    const std::uint64_t backing_size = image.backing() != nullptr ? image.backing()->info().virtual_size : 0;
    first_exposed = divide_up(old_size, cluster_size);
    zeroed_end = std::max(first_exposed, divide_up(std::min(new_size, backing_size), cluster_size));
    if (header.version < 3 && new_size > old_size && backing_size > old_size) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: its backing file is larger than the disk, so what the disk gains would "
                                "show the backing file's bytes, and qcow2 version 2 cannot say that they are "
                                "zeros; make it version 3 first: qemu-img amend -f qcow2 -o compat=1.1 {}",
                                image.file().path(), image.file().path()),
                    Reason::feature_not_supported);
    }
    find_clusters(image, request, backing_size);
    find_tables(image);
    const std::uint64_t needed = divide_up(new_size, header.l1_coverage());
    l1_size = std::max<std::uint64_t>(header.l1_size, needed);
    new_l1 = l1_size != header.l1_size || !tables.empty();
}

void GrowLayout::check_size(const Image& image, const Header& header) const {
    const std::string& path = image.info().path;
    if (new_size < old_size) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: {} is less than the disk's size of {}", path, exact_size_text(new_size),
                                exact_size_text(old_size)),
                    Reason::would_shrink);
    }
    if (new_size > largest_size(header)) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: {} is too large: a qcow2 image with clusters of {} can have at most {}; "
                                "\"qemu-img convert -o cluster_size=...\" makes a copy with larger clusters",
                                path, exact_size_text(new_size), size_text(header.cluster_size()),
                                exact_size_text(largest_size(header))),
                    Reason::size_too_large);
    }
    if (header.version < 3 && header.snapshot_count != 0) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: a qcow2 image of version 2 with internal snapshots cannot change its "
                                "size, since its snapshots do not know theirs; delete the snapshots, or make "
                                "it version 3: qemu-img amend -f qcow2 -o compat=1.1 {}",
                                path, path),
                    Reason::internal_snapshots);
    }
}

void GrowLayout::find_clusters(Image& image, const ResizeRequest& request, std::uint64_t backing_size) {
    const std::uint64_t cluster_size = image.metadata().header().cluster_size();
    for (const Patch& patch : request.patches) {
        if (patch.data.empty()) {
            continue;
        }
        if (patch.offset > new_size || patch.data.size() > new_size - patch.offset) {
            throw Error(ErrorCode::failure,
                        fmt::format("{}: {} bytes at offset {} are to be written beyond the new end at {}",
                                    image.file().path(), patch.data.size(), patch.offset, new_size));
        }
        const std::uint64_t last = (patch.offset + patch.data.size() - 1) / cluster_size;
        for (std::uint64_t cluster = patch.offset / cluster_size; cluster <= last; ++cluster) {
            clusters.push_back(cluster);
        }
    }
    if (new_size > old_size && old_size % cluster_size != 0) {
        const std::uint64_t last = old_size / cluster_size;
        const ClusterKind kind = image.metadata().entry(last).kind;
        if (kind == ClusterKind::data || kind == ClusterKind::compressed ||
            (kind == ClusterKind::unallocated && backing_size > old_size)) {
            clusters.push_back(last);
        }
    }
    sort_unique(clusters);
}

void GrowLayout::find_tables(Image& image) {
    Metadata& metadata = image.metadata();
    const Header& header = metadata.header();
    const std::uint64_t entries = header.l2_entries();
    for (const std::uint64_t cluster : clusters) {
        tables.push_back(cluster / entries);
    }
    if (zeroed_end > first_exposed) {
        for (std::uint64_t index = first_exposed / entries; index <= (zeroed_end - 1) / entries; ++index) {
            tables.push_back(index);
        }
    }
    // Entries behind the old end are there after a VM's state was stored in the image, or a shrink by others.
    const std::uint64_t exposed_end = divide_up(new_size, header.cluster_size());
    for (std::uint64_t index = first_exposed / entries;
         exposed_end > first_exposed && index <= (exposed_end - 1) / entries && index < header.l1_size;
         ++index) {
        const std::span<const std::uint64_t> table = metadata.l2_table(index);
        const std::uint64_t first = std::max(first_exposed, index * entries) - index * entries;
        if (!table.empty() && std::ranges::any_of(table.subspan(first * header.words_per_entry()),
                                                  [](std::uint64_t word) { return word != 0; })) {
            tables.push_back(index);
        }
    }
    sort_unique(tables);
}

std::uint64_t GrowLayout::new_clusters(const Header& header) const {
    const std::uint64_t l1_clusters = new_l1 ? divide_up(l1_size * 8, header.cluster_size()) : 0;
    return l1_clusters + tables.size() + clusters.size();
}

} // namespace disktool::qcow2
