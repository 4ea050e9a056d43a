// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_device.h"

#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <algorithm>

namespace disktool::raw {

RawDevice::RawDevice(File& file)
    : file_(file), file_size_(file.status().size), size_(round_up(file_size_, sector_size)) {}

void RawDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    const std::uint64_t stored =
        offset < file_size_ ? std::min<std::uint64_t>(buffer.size(), file_size_ - offset) : 0;
    file_.read(offset, buffer.first(stored));
    std::ranges::fill(buffer.subspan(stored), std::byte{0});
}

std::vector<Extent> RawDevice::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> extents;
    std::uint64_t position = range.offset;
    const auto add = [&](std::uint64_t end, ExtentKind kind) {
        if (end <= position) {
            return;
        }
        append_extent(extents, {position, end - position}, kind);
        position = end;
    };
    const std::uint64_t stored_end = std::min(file_size_, range.end());
    while (position < stored_end) {
        add(std::min(file_.next_data(position).value_or(stored_end), stored_end), ExtentKind::unallocated);
        if (position < stored_end) {
            add(std::min(file_.next_hole(position).value_or(stored_end), stored_end), ExtentKind::data);
        }
    }
    add(range.end(), ExtentKind::unallocated);
    return extents;
}

} // namespace disktool::raw
