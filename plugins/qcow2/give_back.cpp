// SPDX-License-Identifier: LGPL-2.1-or-later
#include "give_back.h"

#include "cache_drop.h"
#include "extent_cursor.h"

#include <disktool/size.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {
/// The longest hole that is punched in one call, so that a job can be stopped within a second.
constexpr std::uint64_t longest_punch = 256 * MiB;
} // namespace

void give_back(File& file, std::uint64_t file_size, const Unneeded& unneeded,
               const std::function<void()>& between, const std::function<void(std::uint64_t)>& done) {
    const std::uint64_t new_end = std::min(file_size, unneeded.end);
    const CacheDrop ahead(file, unneeded.held.clip({0, new_end}));
    ExtentCursor held(unneeded.held);
    for (const Range& hole : unneeded.holes.clip({0, new_end})) {
        for (std::uint64_t at = hole.offset; at < hole.end(); at += longest_punch) {
            between();
            const Range piece{at, std::min(longest_punch, hole.end() - at)};
            file.punch_hole(piece);
            done(held.overlap(piece));
        }
    }
    if (new_end < file_size) {
        between();
        file.truncate(new_end);
        done(held.overlap({new_end, file_size - new_end}));
    }
}

} // namespace disktool::qcow2
