// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host_space.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace disktool::qcow2 {

ExtentSet held_bytes(File& file, const ExtentSet& ranges) {
    ExtentSet result;
    std::uint64_t data_start = 0; // the run of data last heard of
    std::uint64_t data_end = 0;
    for (const Range& range : ranges) {
        std::uint64_t at = range.offset;
        while (at < range.end()) {
            if (data_end <= at) {
                const std::optional<std::uint64_t> start = file.next_data(at);
                if (!start) {
                    return result;
                }
                data_start = *start;
                data_end = file.next_hole(*start).value_or(std::numeric_limits<std::uint64_t>::max());
            }
            const std::uint64_t from = std::max(at, data_start);
            const std::uint64_t to = std::min(range.end(), data_end);
            if (from < to) {
                result.append({from, to - from});
            }
            at = std::max(to, at + 1);
        }
    }
    return result;
}

} // namespace disktool::qcow2
