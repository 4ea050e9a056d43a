// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cache_drop.h"

#include <disktool/size.h>

#include <fcntl.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace disktool::qcow2 {

namespace {

/// So much at a time, that an interrupted job need not wait for it.
constexpr std::uint64_t piece = 16 * MiB;
/// Below this a thread costs more than it brings.
constexpr std::uint64_t worthwhile = 64 * MiB;

void drop(const std::stop_token& stop, int descriptor, const ExtentSet& holes) {
    for (const Range& hole : holes) {
        for (std::uint64_t at = hole.offset; at < hole.end(); at += piece) {
            if (stop.stop_requested()) {
                return;
            }
            const std::uint64_t length = std::min(piece, hole.end() - at);
            // A hint: what it answers is of no interest.
            posix_fadvise(descriptor, static_cast<off_t>(at), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
        }
    }
}

} // namespace

CacheDrop::CacheDrop(File& file, ExtentSet holes) {
    const int descriptor = file.descriptor();
    if (descriptor < 0 || holes.total() < worthwhile) {
        return;
    }
    try {
        worker_ = std::jthread([descriptor, holes = std::move(holes)](const std::stop_token& stop) {
            drop(stop, descriptor, holes);
        });
    } catch (const std::system_error&) {
        // No thread to be had: the punching does it all.
    }
}

} // namespace disktool::qcow2
