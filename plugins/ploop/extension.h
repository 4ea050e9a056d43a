// SPDX-License-Identifier: LGPL-2.1-or-later
// The format extension of an image file: one cluster that holds the change bitmaps ("CBT") which backups use.
//
// It is valid only while the header's in-use field says "v2.1": whoever begins to write puts the in-use mark
// there. Source: docs/ploop-format.md and QEMU's docs/interop/parallels.txt. All numbers are little-endian.
#pragma once

#include "header.h"

#include <disktool/file.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop {

constexpr std::uint32_t default_granularity_sectors = 128; ///< what one bit of a bitmap stands for

/// Names a bitmap: the bytes of a UUID in the order in which it is written.
using BitmapId = std::array<std::byte, 16>;
/// Only the plain form of 36 characters, without braces; none for anything else.
std::optional<BitmapId> parse_bitmap_id(std::string_view text);
std::string bitmap_id_text(const BitmapId& id); ///< lower case, without braces

struct ChangeBitmap {
    BitmapId id{};
    std::uint32_t granularity_sectors = default_granularity_sectors;
    /// For each cluster of bits: 0 all clear, 1 all set, else the sector of the file where they lie. May have
    /// no entry at all, which means that all is clear: the original's snapshots are written so.
    std::vector<std::uint64_t> table;
};

struct FormatExtension {
    std::vector<ChangeBitmap> bitmaps;
    /// Every file cluster that it takes, ascending: its own one and those of the bitmaps.
    std::vector<std::uint64_t> clusters;
    bool unknown_parts = false;   ///< a part of a kind unknown to us: it may own clusters that we do not see
    bool must_not_change = false; ///< one of those says that who does not know it must not change the file
};

/// Entries of a bitmap's table for a disk.
std::uint64_t bitmap_table_entries(const Header& header, std::uint32_t granularity_sectors);

/// The extension that `header` (which is sound in itself, and has_extension()) names. Throws Error(damaged)
/// with why where it cannot be believed: wrong place, magic or MD5, parts that do not fit, bitmaps of another
/// disk size or whose clusters cannot be. Memory: two clusters of the file.
FormatExtension read_extension(File& file, const Header& header);

/// A cluster with an empty bitmap. It holds once it lies in the file, synced, and the header has its sector and
/// closed_mark_v21. Throws Error(size_impossible) where the table would be larger than the cluster.
std::vector<std::byte> make_extension(const Header& header, const BitmapId& id,
                                      std::uint32_t granularity_sectors = default_granularity_sectors);

} // namespace disktool::ploop
