// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation.h"

#include "host_space.h"

#include <disktool/size.h>

#include <vector>

namespace disktool::qcow2 {

namespace {

/// Where the disk lies in the file; none where a cluster is not allocated, or not whole.
std::optional<ExtentSet> places(Image& image) {
    Metadata& metadata = image.metadata();
    const Header& header = metadata.header();
    const std::uint64_t cluster_size = header.cluster_size();
    const std::uint64_t clusters = divide_up(header.virtual_size, cluster_size);
    std::vector<Range> ranges;
    for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) {
        const ClusterEntry entry = metadata.entry(cluster);
        const bool whole = entry.kind == ClusterKind::data && entry.allocated == 0xffff'ffff &&
                           entry.host_offset + cluster_size <= metadata.file_size();
        if (!whole) {
            return std::nullopt;
        }
        if (!ranges.empty() && ranges.back().end() == entry.host_offset) {
            ranges.back().length += cluster_size;
        } else {
            ranges.push_back({entry.host_offset, cluster_size});
        }
    }
    return ExtentSet::from_unsorted(std::move(ranges));
}

} // namespace

Allocation allocation(Image& image) {
    const Header& header = image.metadata().header();
    if (header.encrypted() || header.external_data() || header.virtual_size == 0) {
        return Allocation::expanding;
    }
    const std::optional<ExtentSet> data = places(image);
    if (!data) {
        return Allocation::expanding;
    }
    File& file = image.file();
    if (const auto reserved = reserved_bytes(file, *data)) {
        return *reserved == data->total() ? Allocation::plain : Allocation::expanding;
    }
    const ExtentSet other = data->complement({0, image.metadata().file_size()});
    const bool enough = file.status().allocated >= data->total() + held_bytes(file, other).total();
    return enough ? Allocation::plain : Allocation::expanding;
}

} // namespace disktool::qcow2
