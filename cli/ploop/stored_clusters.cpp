// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stored_clusters.h"

#include "header.h"
#include "little_endian.h"

#include <disktool/doors.h>
#include <disktool/extents.h>

#include <algorithm>
#include <array>
#include <span>

namespace disktool::ploop::cli {

namespace {

constexpr std::uint64_t entries_at_once = 4096;

} // namespace

std::uint64_t stored_clusters(File& image, const std::vector<Range>& ranges) {
    std::array<std::byte, header_size> head{};
    image.read(0, head);
    const Header header = parse_header(head, image.path());
    check_header(header, image.path());
    const ExtentSet whole = ExtentSet::from_unsorted(ranges).rounded_inward(header.cluster_size());
    std::vector<std::byte> bytes(entries_at_once * sizeof(std::uint32_t));
    std::uint64_t stored = 0;
    for (const Range range : whole) {
        const std::uint64_t end = std::min<std::uint64_t>(range.end() / header.cluster_size(), header.entries);
        for (std::uint64_t at = range.offset / header.cluster_size(); at < end; at += entries_at_once) {
            const std::uint64_t count = std::min(entries_at_once, end - at);
            const auto part = std::span(bytes).first(count * sizeof(std::uint32_t));
            image.read(header_size + at * sizeof(std::uint32_t), part);
            for (std::uint64_t i = 0; i < count; ++i) {
                stored += get<std::uint32_t>(part, i * sizeof(std::uint32_t)) != 0 ? 1 : 0;
            }
        }
    }
    return stored;
}

std::optional<std::uint64_t> stored_below_balloon(const RunningFilesystem& filesystem,
                                                  const RunningImage& image, const BalloonFile& balloon) {
    if ((!filesystem.is_ext() && filesystem.type != "xfs") || image.raw) {
        return std::nullopt;
    }
    FileDoor& files = real_doors().files;
    files.open(filesystem.device.node, {})->sync();
    std::uint64_t start = 0;
    for (const DevicePartition& partition : filesystem.device.partitions) {
        if (partition.number == filesystem.partition) {
            start = partition.offset;
        }
    }
    std::vector<Range> places = balloon.places();
    for (Range& place : places) {
        place.offset += start;
    }
    return stored_clusters(*files.open(image.path, {}), places);
}

} // namespace disktool::ploop::cli
