// SPDX-License-Identifier: LGPL-2.1-or-later
// Persistent dirty bitmaps: what a backup tool keeps in the image. Named, counted, never touched.
#pragma once

#include "header.h"

#include <disktool/file.h>
#include <disktool/format.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace disktool::qcow2 {

/// Entries of a bitmap's table, in host byte order: where a cluster of bits lies, or what all of its bits are.
namespace bitmap_bits {
constexpr std::uint64_t offset = 0x00ff'ffff'ffff'fe00;
constexpr std::uint64_t reserved = 0xff00'0000'0000'01fe;
constexpr std::uint64_t all_ones = 1; ///< where there is no offset
} // namespace bitmap_bits

struct Bitmap {
    BitmapInfo info;
    std::uint64_t table_offset = 0;  ///< in the file, bytes; a cluster's start
    std::uint32_t table_entries = 0; ///< of 8 bytes
    std::uint64_t entry_offset = 0;  ///< of its directory entry, bytes from the directory's start

    std::uint64_t table_length() const { return std::uint64_t{table_entries} * 8; } ///< bytes
};

/// The directory; empty where there is none. Errors: damaged, with the offset of the entry.
std::vector<Bitmap> read_bitmaps(File& file, const Header& header);

/// The host offset of every cluster that holds bits of it; the table's own clusters are not among them.
void for_each_bitmap_cluster(File& file, const Header& header, const Bitmap& bitmap,
                             const std::function<void(std::uint64_t host_offset)>& visit);

} // namespace disktool::qcow2
