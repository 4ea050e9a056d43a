// SPDX-License-Identifier: LGPL-2.1-or-later
// What every byte of a disk is good for: held and in use, held though free, held nowhere, table, outside of
// partitions. Drawn by `map`.
#pragma once

#include "verb/survey.h"

#include <disktool/extents.h>
#include <disktool/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace disktool {

/// Of these, every byte of the disk is exactly one. An earlier one in this list goes before a later one.
enum class DiskUse {
    table,       ///< holds the partition table itself
    free,        ///< held by this image and of no use to anyone: what compact gives back
    outside,     ///< in no partition, and not `free`
    data,        ///< held by this image, in use or not known to be free
    backing,     ///< shows through from a backing image
    unallocated, ///< held nowhere, reads as zeros
};
constexpr std::size_t disk_use_count = 6;

/// For machines: "free".
DISKTOOL_API std::string_view name(DiskUse use);
/// For people: "free, still held".
DISKTOOL_API std::string_view text(DiskUse use);

/// Bytes by DiskUse.
class UseBytes {
  public:
    std::uint64_t& operator[](DiskUse use) { return bytes_[static_cast<std::size_t>(use)]; }
    std::uint64_t operator[](DiskUse use) const { return bytes_[static_cast<std::size_t>(use)]; }
    /// The use with most bytes; of equal ones the first.
    DiskUse most() const;
    std::uint64_t total() const;
    friend bool operator==(const UseBytes&, const UseBytes&) = default;

  private:
    std::array<std::uint64_t, disk_use_count> bytes_{};
};

struct MapVolume {
    std::string text; ///< "volume vg/lv (ext4)"
    UseBytes bytes;
};

/// One partition, or the whole disk where it has no table.
struct MapPart {
    int partition = 0; ///< its number; 0: the whole disk
    std::string text;  ///< "partition 2 (ext4)"
    Range range;       ///< bytes of the disk
    UseBytes bytes;
    std::vector<MapVolume> volumes;
};

struct MapSegment {
    Range range; ///< bytes of the disk
    DiskUse use = DiskUse::unallocated;
    friend bool operator==(const MapSegment&, const MapSegment&) = default;
};

/// The segments of a map, or where those would be too many, as close to them as so many can be.
struct MapSegments {
    std::vector<MapSegment> list; ///< sorted, covering the disk without gaps
    std::uint64_t resolution = 1; ///< bytes; 1: exact, else each such piece shows its most frequent use
};

struct DiskMap {
    std::uint64_t size = 0;                        ///< bytes
    std::array<ExtentSet, disk_use_count> extents; ///< by DiskUse: disjoint, together the whole disk
    UseBytes bytes;
    std::vector<MapPart> parts;     ///< by place
    std::vector<std::string> notes; ///< what counts as in use since nobody knows better, and why

    const ExtentSet& of(DiskUse use) const { return extents[static_cast<std::size_t>(use)]; }
    /// `range` in `count` (not 0) pieces of equal size, in order: what lies in each.
    std::vector<UseBytes> cells(Range range, std::size_t count) const;
    MapSegments segments(std::size_t most) const;
};

/// Reads the free maps and the image's tables, nothing else. A file system whose free map turns out to be
/// damaged gets a `problem` in the survey, and counts as in use. Throws what the image's extents() throw.
DISKTOOL_API DiskMap map_disk(Image& image, DiskSurvey& survey);

/// What each cell is to show: its most frequent use. But every use that is anywhere on the disk shows in one
/// cell at least, as long as it does not share all of its cells with other uses of which the same is true.
DISKTOOL_API std::vector<DiskUse> shown_uses(const std::vector<UseBytes>& cells);

} // namespace disktool
