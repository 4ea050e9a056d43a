// SPDX-License-Identifier: LGPL-2.1-or-later
// Making the list that BlockDevice::extents gives: sorted, merged, without empty ones.
#pragma once

#include <disktool/block_device.h>

#include <vector>

namespace disktool {

/// `range` must begin at or behind the end of the last one. Joins it to that one where it can.
inline void append_extent(std::vector<Extent>& extents, Range range, ExtentKind kind) {
    if (range.empty())
        return;
    if (!extents.empty() && extents.back().kind == kind && extents.back().range.end() == range.offset)
        extents.back().range.length += range.length;
    else
        extents.push_back({range, kind});
}

} // namespace disktool
