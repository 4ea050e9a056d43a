// SPDX-License-Identifier: LGPL-2.1-or-later
#include "volume_device.h"

#include <disktool/error.h>
#include <disktool/extent_list.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::lvm2 {

namespace {

constexpr std::uint64_t piece_limit = 4 << 20;

void add(std::vector<VolumeSegment>& places, Range place) {
    const std::uint64_t offset = places.empty() ? 0 : places.back().volume_offset + places.back().place.length;
    if (!places.empty() && places.back().place.end() == place.offset)
        places.back().place.length += place.length;
    else
        places.push_back({offset, place});
}

} // namespace

std::vector<VolumeSegment> place(const LogicalVolume& volume, const VolumeGroup& group) {
    std::vector<VolumeSegment> places;
    for (const Segment& segment : volume.segments) {
        std::vector<std::uint64_t> starts;
        for (const Area& area : segment.areas)
            starts.push_back(group.own.start + area.first * group.extent_size);
        const std::uint64_t stripe_length = segment.areas.front().count * group.extent_size;
        const std::uint64_t chunk = starts.size() == 1 ? stripe_length : segment.stripe_size;
        const std::uint64_t rows = stripe_length / chunk;
        if (rows > piece_limit || rows * starts.size() > piece_limit - std::min(piece_limit, places.size()))
            return {};
        for (std::uint64_t row = 0; row < rows; ++row)
            for (const std::uint64_t start : starts)
                add(places, {start + row * chunk, chunk});
    }
    return places;
}

VolumeDevice::VolumeDevice(BlockDevice& parent, const std::vector<VolumeSegment>& segments, std::string name,
                           bool writable)
    : parent_(parent), segments_(segments), name_(std::move(name)), writable_(writable),
      size_(segments.empty() ? 0 : segments.back().volume_offset + segments.back().place.length) {}

void VolumeDevice::each(Range range, const std::function<void(std::uint64_t, Range)>& piece) const {
    check_range(range.offset, range.length);
    if (range.empty())
        return;
    auto segment = std::ranges::upper_bound(segments_, range.offset, {}, &VolumeSegment::volume_offset);
    --segment;
    for (std::uint64_t done = 0; done < range.length; ++segment) {
        const std::uint64_t skipped = range.offset + done - segment->volume_offset;
        const std::uint64_t length = std::min(segment->place.length - skipped, range.length - done);
        piece(done, {segment->place.offset + skipped, length});
        done += length;
    }
}

void VolumeDevice::demand_writable() {
    if (!writable())
        throw Error(ErrorCode::unsupported, fmt::format("{} is not open for writing", name_));
}

void VolumeDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    each({offset, buffer.size()}, [&](std::uint64_t done, Range place) {
        parent_.read(place.offset, buffer.subspan(done, place.length));
    });
}

std::vector<Extent> VolumeDevice::extents(Range range) {
    std::vector<Extent> result;
    each(range, [&](std::uint64_t done, Range place) {
        for (const Extent& extent : parent_.extents(place)) {
            const Range moved{range.offset + done + (extent.range.offset - place.offset), extent.range.length};
            append_extent(result, moved, extent.kind);
        }
    });
    return result;
}

void VolumeDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    demand_writable();
    each({offset, data.size()}, [&](std::uint64_t done, Range place) {
        parent_.write(place.offset, data.subspan(done, place.length));
    });
}

void VolumeDevice::discard(Range range) {
    demand_writable();
    each(range, [&](std::uint64_t, Range place) { parent_.discard(place); });
}

void VolumeDevice::zero(Range range) {
    demand_writable();
    each(range, [&](std::uint64_t, Range place) { parent_.zero(place); });
}

void VolumeDevice::flush() {
    demand_writable();
    parent_.flush();
}

} // namespace disktool::lvm2
