// SPDX-License-Identifier: GPL-2.0-or-later
#include "run_list.h"

namespace disktool::ntfs {

namespace {

constexpr std::uint64_t largest_vcn = std::uint64_t{1} << 40;

/// Bytes of the least signed number.
unsigned width(std::int64_t value) {
    unsigned bytes = 1;
    while (bytes < 8 &&
           (value < -(std::int64_t{1} << (8 * bytes - 1)) || value >= std::int64_t{1} << (8 * bytes - 1)))
        ++bytes;
    return bytes;
}

std::int64_t signed_number(Bytes bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    if (bytes.size() < 8 && !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0})
        value |= ~std::uint64_t{0} << (8 * bytes.size());
    return static_cast<std::int64_t>(value);
}

} // namespace

bool unpack_runs(Bytes packed, std::uint64_t vcn, std::uint64_t clusters, RunList& list) {
    std::int64_t lcn = 0; // always in [0, clusters), which is at most 2^32
    while (!packed.empty()) {
        const unsigned head = std::to_integer<unsigned>(packed[0]);
        if (head == 0)
            return true;
        const std::size_t length_width = head & 0xf;
        const std::size_t distance_width = head >> 4;
        if (length_width == 0 || length_width > 8 || distance_width > 8 ||
            packed.size() < 1 + length_width + distance_width)
            return false;
        const std::int64_t length = signed_number(packed.subspan(1, length_width));
        if (length <= 0 || static_cast<std::uint64_t>(length) >= largest_vcn ||
            vcn + static_cast<std::uint64_t>(length) >= largest_vcn)
            return false;
        Run run{vcn, hole, static_cast<std::uint64_t>(length)};
        if (distance_width != 0) {
            const std::int64_t distance = signed_number(packed.subspan(1 + length_width, distance_width));
            if (distance < -lcn || distance >= static_cast<std::int64_t>(clusters) - lcn)
                return false;
            lcn += distance;
            run.lcn = static_cast<std::uint64_t>(lcn);
            if (run.length > clusters - run.lcn)
                return false;
        }
        list.push_back(run);
        vcn += run.length;
        packed = packed.subspan(1 + length_width + distance_width);
    }
    return false;
}

std::uint64_t packed_size(const RunList& list) {
    std::uint64_t size = 1;
    std::int64_t before = 0;
    for (const Run& run : list) {
        size += 1 + width(static_cast<std::int64_t>(run.length));
        if (!run.stored())
            continue;
        size += width(static_cast<std::int64_t>(run.lcn) - before);
        before = static_cast<std::int64_t>(run.lcn);
    }
    return size;
}

} // namespace disktool::ntfs
