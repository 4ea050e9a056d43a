// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/disk_map.h"

#include "verb/discardable.h"

#include <disktool/size.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <utility>

namespace disktool {

namespace {

/// Extents come as a list: asked for in pieces, a badly fragmented disk needs little memory.
constexpr std::uint64_t extents_at_once = 64 * GiB;

constexpr std::array<DiskUse, disk_use_count> all_uses = {
    DiskUse::table, DiskUse::free, DiskUse::outside, DiskUse::data, DiskUse::backing, DiskUse::unallocated};

ExtentSet stored_bytes(BlockDevice& disk) {
    ExtentSet stored;
    for (std::uint64_t offset = 0; offset < disk.size(); offset += extents_at_once) {
        const Range piece{offset, std::min(extents_at_once, disk.size() - offset)};
        for (const Extent& extent : disk.extents(piece)) {
            if (extent.kind == ExtentKind::data) {
                stored.append(extent.range);
            }
        }
    }
    return stored;
}

template <typename Opened>
void try_free_map(Content& content, Opened* opened) {
    if (opened == nullptr || content.problem) {
        return;
    }
    try {
        static_cast<void>(opened->free_extents());
    } catch (const Error& error) {
        content.problem = Problem{error.code(), error.reason(), content.text() + ": " + error.what()};
    }
}

/// So that one damaged free map does not take the others' with it.
void set_aside_damaged(DiskSurvey& survey) {
    for (Content& content : survey.contents) {
        try_free_map(content, content.filesystem.get());
        try_free_map(content, content.volumes.get());
        for (Content& inner : content.inner) {
            try_free_map(inner, inner.filesystem.get());
        }
    }
}

/// Where nothing is known of any table, all of the disk may be in use.
ExtentSet inside_partitions(const DiskSurvey& survey, Range disk) {
    if (survey.table.type == TableType::none) {
        return ExtentSet(disk);
    }
    std::vector<Range> ranges;
    for (const Partition& partition : survey.table.partitions) {
        if (!partition.extended) {
            ranges.push_back(partition.range);
        }
    }
    return ExtentSet::from_unsorted(std::move(ranges)).clip(disk);
}

UseBytes count(const DiskMap& map, const ExtentSet& within) {
    UseBytes bytes;
    for (const DiskUse use : all_uses) {
        bytes[use] = map.of(use).intersect(within).total();
    }
    return bytes;
}

std::vector<MapVolume> volumes_of(const DiskMap& map, const Content& content) {
    std::vector<MapVolume> result;
    for (std::size_t i = 0; i < content.inner.size(); ++i) {
        const Content& inner = content.inner[i];
        const ExtentSet place =
            content.volumes->to_device(content.volumes->volumes()[i], ExtentSet({0, inner.range.length}));
        result.push_back({inner.text(), count(map, place.shifted(content.range.offset))});
    }
    return result;
}

std::vector<MapPart> parts_of(const DiskMap& map, const DiskSurvey& survey) {
    std::vector<MapPart> parts;
    for (const Content& content : survey.contents) {
        parts.push_back({content.partition, content.text(), content.range, count(map, ExtentSet(content.range)),
                         volumes_of(map, content)});
    }
    std::sort(parts.begin(), parts.end(),
              [](const MapPart& a, const MapPart& b) { return a.range.offset < b.range.offset; });
    return parts;
}

/// Index of the first byte of cell `index`; the product needs more than 64 bits.
std::uint64_t cell_start(Range range, std::size_t index, std::size_t count) {
    __extension__ using Wide = unsigned __int128;
    return range.offset + static_cast<std::uint64_t>(Wide(range.length) * index / count);
}

std::vector<MapSegment> exact_segments(const DiskMap& map) {
    struct Position {
        DiskUse use;
        ExtentSet::const_iterator at, end;
    };
    std::vector<Position> positions;
    for (const DiskUse use : all_uses) {
        positions.push_back({use, map.of(use).begin(), map.of(use).end()});
    }
    std::vector<MapSegment> segments;
    while (true) {
        Position* first = nullptr;
        for (Position& position : positions) {
            if (position.at != position.end && (first == nullptr || position.at->offset < first->at->offset)) {
                first = &position;
            }
        }
        if (first == nullptr) {
            return segments;
        }
        segments.push_back({*first->at, first->use});
        ++first->at;
    }
}

} // namespace

std::string_view name(DiskUse use) {
    constexpr std::array<std::string_view, disk_use_count> names = {"table", "free",    "outside",
                                                                    "data",  "backing", "unallocated"};
    return names[static_cast<std::size_t>(use)];
}

std::string_view text(DiskUse use) {
    constexpr std::array<std::string_view, disk_use_count> texts = {"partition table",    "free, still held",
                                                                    "outside partitions", "in use",
                                                                    "in backing image",   "not allocated"};
    return texts[static_cast<std::size_t>(use)];
}

DiskUse UseBytes::most() const {
    return all_uses[std::distance(bytes_.begin(), std::max_element(bytes_.begin(), bytes_.end()))];
}

std::uint64_t UseBytes::total() const {
    return std::accumulate(bytes_.begin(), bytes_.end(), std::uint64_t{0});
}

std::vector<UseBytes> DiskMap::cells(Range range, std::size_t count) const {
    std::vector<UseBytes> cells(count);
    for (const DiskUse use : all_uses) {
        std::size_t cell = 0;
        std::uint64_t end = cell_start(range, 1, count);
        for (Range extent : of(use).clip(range)) {
            while (!extent.empty()) {
                while (end <= extent.offset) {
                    ++cell;
                    end = cell_start(range, cell + 1, count);
                }
                const std::uint64_t length = std::min(extent.end(), end) - extent.offset;
                cells[cell][use] += length;
                extent = {extent.offset + length, extent.length - length};
            }
        }
    }
    return cells;
}

MapSegments DiskMap::segments(std::size_t most) const {
    std::size_t exact = 0;
    for (const ExtentSet& set : extents) {
        exact += set.count();
    }
    if (exact <= most) {
        return {exact_segments(*this), 1};
    }
    const Range whole{0, size};
    const std::vector<DiskUse> shown = shown_uses(cells(whole, most));
    MapSegments result{{}, divide_up(size, most)};
    for (std::size_t i = 0; i < shown.size(); ++i) {
        const std::uint64_t start = cell_start(whole, i, most);
        const std::uint64_t length = cell_start(whole, i + 1, most) - start;
        if (!result.list.empty() && result.list.back().use == shown[i]) {
            result.list.back().range.length += length;
        } else if (length != 0) {
            result.list.push_back({{start, length}, shown[i]});
        }
    }
    return result;
}

DiskMap map_disk(Image& image, DiskSurvey& survey) {
    BlockDevice& disk = image.device();
    const Range whole{0, disk.size()};
    set_aside_damaged(survey);
    Discardable discardable = find_discardable(survey, disk.size());
    // A cluster is given back as a whole or not at all.
    const ExtentSet given_back =
        discardable.bytes.rounded_inward(std::max<std::uint32_t>(image.info().cluster_size, 1));
    const ExtentSet stored = stored_bytes(disk);
    const ExtentSet own = image.own_extents(whole).intersect(stored);

    DiskMap map;
    map.size = disk.size();
    map.notes = std::move(discardable.notes);
    ExtentSet rest(whole);
    const auto take = [&](DiskUse use, const ExtentSet& bytes) {
        map.extents[static_cast<std::size_t>(use)] = bytes.intersect(rest);
        rest = rest.subtract(bytes);
    };
    take(DiskUse::table, survey.table.areas);
    take(DiskUse::free, given_back.intersect(own));
    take(DiskUse::outside, inside_partitions(survey, whole).complement(whole));
    take(DiskUse::data, own);
    take(DiskUse::backing, stored);
    take(DiskUse::unallocated, rest);
    for (const DiskUse use : all_uses) {
        map.bytes[use] = map.of(use).total();
    }
    map.parts = parts_of(map, survey);
    return map;
}

namespace {

/// The cells that could show a use, best first. No more are needed than there are uses to go round.
std::vector<std::size_t> candidates(const std::vector<UseBytes>& cells, DiskUse use) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (cells[i][use] != 0) {
            found.push_back(i);
        }
    }
    const auto better = [&](std::size_t a, std::size_t b) {
        const bool most_a = cells[a].most() == use;
        const bool most_b = cells[b].most() == use;
        return most_a != most_b ? most_a : cells[a][use] > cells[b][use];
    };
    const std::size_t kept = std::min(found.size(), disk_use_count);
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(), better);
    found.resize(kept);
    return found;
}

/// Gives as many uses as possible a cell of their own: a bipartite matching by augmenting paths.
class Homes {
  public:
    explicit Homes(const std::vector<UseBytes>& cells) {
        for (const DiskUse use : all_uses) {
            wanted_.push_back(candidates(cells, use));
        }
        for (const DiskUse use : all_uses) {
            std::array<bool, disk_use_count> asked{};
            place(static_cast<std::size_t>(use), asked);
        }
    }
    const std::map<std::size_t, std::size_t>& by_cell() const { return by_cell_; }

  private:
    bool place(std::size_t use, std::array<bool, disk_use_count>& asked) {
        if (std::exchange(asked[use], true)) {
            return false;
        }
        for (const std::size_t cell : wanted_[use]) {
            const auto taken = by_cell_.find(cell);
            if (taken == by_cell_.end() || place(taken->second, asked)) {
                by_cell_[cell] = use;
                return true;
            }
        }
        return false;
    }

    std::vector<std::vector<std::size_t>> wanted_;
    std::map<std::size_t, std::size_t> by_cell_;
};

} // namespace

std::vector<DiskUse> shown_uses(const std::vector<UseBytes>& cells) {
    std::vector<DiskUse> shown;
    for (const UseBytes& cell : cells) {
        // A cell of no bytes, of a disk smaller than the picture, goes with the one before it.
        shown.push_back(cell.total() == 0 && !shown.empty() ? shown.back() : cell.most());
    }
    const Homes homes(cells);
    for (const auto& [cell, use] : homes.by_cell()) {
        shown[cell] = all_uses[use];
    }
    return shown;
}

} // namespace disktool
