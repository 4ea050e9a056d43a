// SPDX-License-Identifier: LGPL-2.1-or-later
// A metadata area: a header, then a circular buffer in which texts lie one after the other. The header says
// which of them is the present one.
//
// Format (lvm2, lib/format_text/layout.h): checksum of the header's 512 bytes from byte 4 on (u32), 16 bytes
// of magic, version 1 (u32), the area's start and size (u64), then locations: offset in the area and size of a
// text (u64), its checksum and flags (u32). The first is the present text, the second one that was never
// committed. A text that reaches the end of the area goes on behind the header.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <string>

namespace disktool::lvm2 {

struct MetadataText {
    enum class Status {
        present, ///< `text` is whole, its checksum right
        empty,   ///< no volume group was ever written here, or it was removed
        ignored, ///< the area is marked as one that is not kept up to date
        damaged, ///< `defect` says how
    };
    Status status = Status::empty;
    std::string text;
    std::uint64_t place = 0; ///< of the text, bytes of the device
    std::string defect;      ///< half a sentence with the place
};

/// Of the area that the label names, which lies within the device. Never throws but for reads that fail.
MetadataText read_metadata_area(BlockDevice& device, Range area);

} // namespace disktool::lvm2
