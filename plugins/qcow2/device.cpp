// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device.h"

#include "damage.h"
#include "decompress.h"

#include <disktool/extent_list.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::qcow2 {

namespace {

void fill_zero(std::span<std::byte> buffer) {
    std::fill(buffer.begin(), buffer.end(), std::byte{0});
}

} // namespace

Device::Device(Metadata& metadata, File& image, File& data, BlockDevice* backing)
    : metadata_(metadata), image_(image), data_(data), backing_(backing) {}

Device::~Device() = default;

void Device::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    while (!buffer.empty()) {
        const Run run = run_at(offset, buffer.size());
        const auto part = buffer.first(run.length);
        switch (run.source) {
        case Source::backing:
            read_backing(offset, part);
            break;
        case Source::zero:
            fill_zero(part);
            break;
        case Source::data:
            fill_zero(part.subspan(data_.read_some(run.host_offset, part)));
            break;
        case Source::compressed:
            read_compressed(run.entry, offset, part);
            break;
        }
        offset += run.length;
        buffer = buffer.subspan(run.length);
    }
}

std::vector<Extent> Device::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const Run run = run_at(offset, range.end() - offset);
        const Range part{offset, run.length};
        if (run.source == Source::backing) {
            append_backing(result, part);
        } else {
            append_extent(result, part, run.source == Source::zero ? ExtentKind::zero : ExtentKind::data);
        }
        offset += run.length;
    }
    return result;
}

ExtentSet Device::own(Range range) {
    check_range(range.offset, range.length);
    ExtentSet result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const Run run = run_at(offset, range.end() - offset);
        const std::uint64_t length = std::min(run.length, range.end() - offset);
        if (run.source != Source::backing) {
            result.append({offset, length});
        }
        offset += length;
    }
    return result;
}

std::vector<HostExtent> Device::host(Range range) {
    check_range(range.offset, range.length);
    const std::uint64_t file_size = data_.status().size;
    std::vector<HostExtent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const Run run = run_at(offset, range.end() - offset);
        const std::uint64_t length = std::min(run.length, range.end() - offset);
        if (run.source == Source::data && run.host_offset < file_size) {
            const std::uint64_t there = std::min(length, file_size - run.host_offset);
            if (!result.empty() && result.back().guest.end() == offset &&
                result.back().host_offset + result.back().guest.length == run.host_offset) {
                result.back().guest.length += there;
            } else {
                result.push_back({{offset, there}, &data_, run.host_offset});
            }
        }
        offset += length;
    }
    return result;
}

void Device::forget(BlockDevice* backing) {
    backing_ = backing;
    cluster_source_ = 0;
}

Device::Run Device::run_at(std::uint64_t offset, std::uint64_t limit) {
    const Header& header = metadata_.header();
    const std::uint64_t coverage = header.l1_coverage();
    const std::uint64_t l1_index = offset / coverage;
    limit = std::min(limit, coverage - offset % coverage);
    const auto table_offset = metadata_.l2_offset(l1_index);
    Run run;
    if (!table_offset) {
        run.length = limit;
        return run;
    }
    const L2View view{metadata_.l2_table(l1_index), *table_offset};
    run = piece_at(view, offset);
    while (run.length < limit && run.source != Source::compressed) {
        const Run next = piece_at(view, offset + run.length);
        const bool follows = next.source == run.source &&
                             (run.source != Source::data || next.host_offset == run.host_offset + run.length);
        if (!follows) {
            break;
        }
        run.length += next.length;
    }
    run.length = std::min(run.length, limit);
    return run;
}

Device::Run Device::piece_at(const L2View& view, std::uint64_t offset) const {
    const Header& header = metadata_.header();
    const std::uint64_t cluster_size = header.cluster_size();
    const std::uint64_t within = offset % cluster_size;
    const ClusterEntry entry =
        metadata_.decoder().l2(view.table, offset / cluster_size % header.l2_entries(), view.offset);
    Run run;
    run.length = cluster_size - within;
    if (entry.kind == ClusterKind::compressed) {
        run.source = Source::compressed;
        run.entry = entry;
        return run;
    }
    const std::uint64_t subcluster = within / header.subcluster_size();
    // A cluster whose subclusters are not all alike is taken subcluster by subcluster.
    const auto uniform = [](std::uint32_t bits) { return bits == 0 || bits + 1 == 0; };
    if (!uniform(entry.allocated) || !uniform(entry.zero)) {
        run.length = (subcluster + 1) * header.subcluster_size() - within;
    }
    if (entry.allocated >> subcluster & 1) {
        run.source = Source::data;
        run.host_offset = entry.host_offset + within;
        if (header.external_data() && run.host_offset != offset) {
            throw_damaged(image_.path(), fmt::format("the guest's offset {} is said to lie at offset {} of the "
                                                     "external data file, which must be the same",
                                                     offset, run.host_offset));
        }
    } else if (entry.zero >> subcluster & 1) {
        run.source = Source::zero;
    }
    return run;
}

void Device::read_compressed(const ClusterEntry& entry, std::uint64_t offset, std::span<std::byte> buffer) {
    const Header& header = metadata_.header();
    if (cluster_source_ != entry.host_offset) {
        cluster_source_ = 0;
        cluster_.resize(header.cluster_size());
        compressed_.resize(entry.compressed_length);
        // The last sector may be cut off by the end of the file.
        const std::size_t length = image_.read_some(entry.host_offset, compressed_);
        if (!decompress(header.compression_type, std::span(compressed_).first(length), cluster_)) {
            throw_damaged(image_.path(),
                          fmt::format("the compressed cluster at offset {} (guest offset {}) cannot be "
                                      "decompressed",
                                      entry.host_offset, offset));
        }
        cluster_source_ = entry.host_offset;
    }
    const auto from = std::span(cluster_).subspan(offset % header.cluster_size(), buffer.size());
    std::copy(from.begin(), from.end(), buffer.begin());
}

void Device::read_backing(std::uint64_t offset, std::span<std::byte> buffer) {
    const std::uint64_t available =
        backing_ != nullptr && offset < backing_->size() ? backing_->size() - offset : 0;
    const std::size_t length = std::min<std::uint64_t>(buffer.size(), available);
    if (length != 0) {
        backing_->read(offset, buffer.first(length));
    }
    fill_zero(buffer.subspan(length));
}

void Device::append_backing(std::vector<Extent>& result, Range range) {
    if (backing_ != nullptr && range.offset < backing_->size()) {
        const Range within{range.offset, std::min(range.length, backing_->size() - range.offset)};
        for (const Extent& extent : backing_->extents(within)) {
            append_extent(result, extent.range, extent.kind);
        }
        range = {within.end(), range.length - within.length};
    }
    append_extent(result, range, ExtentKind::unallocated);
}

} // namespace disktool::qcow2
