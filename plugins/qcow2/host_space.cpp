// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host_space.h"

#include "extent_cursor.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

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

std::optional<std::uint64_t> reserved_bytes(File& file, const ExtentSet& ranges) {
    constexpr std::uint32_t at_once = 512;
    constexpr std::uint32_t no_place = FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_UNKNOWN;
    if (file.descriptor() < 0) {
        return std::nullopt;
    }
    std::vector<std::byte> buffer(sizeof(fiemap) + at_once * sizeof(fiemap_extent));
    ExtentCursor cursor(ranges);
    std::uint64_t total = 0;
    for (std::uint64_t at = 0;;) {
        fiemap request; // not by {}: clang counts its last member, an array of none, as initialised then
        std::memset(&request, 0, sizeof request);
        request.fm_start = at;
        request.fm_length = FIEMAP_MAX_OFFSET - at;
        request.fm_flags = FIEMAP_FLAG_SYNC;
        request.fm_extent_count = at_once;
        std::memcpy(buffer.data(), &request, sizeof request);
        if (ioctl(file.descriptor(), FS_IOC_FIEMAP, buffer.data()) != 0) {
            return std::nullopt;
        }
        std::memcpy(&request, buffer.data(), sizeof request);
        if (request.fm_mapped_extents == 0) {
            return total;
        }
        for (std::uint32_t i = 0; i < request.fm_mapped_extents; ++i) {
            fiemap_extent extent{};
            std::memcpy(&extent, buffer.data() + sizeof request + i * sizeof extent, sizeof extent);
            if (extent.fe_flags & no_place) {
                return std::nullopt;
            }
            total += cursor.overlap({extent.fe_logical, extent.fe_length});
            at = extent.fe_logical + extent.fe_length;
            if (extent.fe_flags & FIEMAP_EXTENT_LAST) {
                return total;
            }
        }
    }
}

} // namespace disktool::qcow2
