// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_extents.h"

#include <algorithm>

namespace disktool::ploop {

void append_raw_extents(std::vector<Extent>& result, File& file, Range range) {
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const std::uint64_t data = std::min(range.end(), file.next_data(offset).value_or(range.end()));
        append_extent(result, {offset, data - offset}, ExtentKind::unallocated);
        std::uint64_t hole = range.end();
        if (data < range.end()) {
            hole = std::min(hole, file.next_hole(data).value_or(hole));
            hole = std::max(hole, data + 1); // someone else changes the file
        }
        append_extent(result, {data, hole - data}, ExtentKind::data);
        offset = hole;
    }
}

} // namespace disktool::ploop
