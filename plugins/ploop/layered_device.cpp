// SPDX-License-Identifier: LGPL-2.1-or-later
#include "layered_device.h"

#include "raw_extents.h"

#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <algorithm>

namespace disktool::ploop {

Range LayeredDevice::run_at(std::uint64_t offset, std::uint64_t end) const {
    const std::uint64_t cluster = offset / delta_.cluster_size();
    const std::uint64_t count = delta_.run(cluster, divide_up(end, delta_.cluster_size()) - cluster);
    return {offset, std::min(end, (cluster + count) * delta_.cluster_size()) - offset};
}

void LayeredDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    while (!buffer.empty()) {
        const Range run = run_at(offset, offset + buffer.size());
        const auto part = buffer.first(run.length);
        if (delta_.place(offset / delta_.cluster_size())) {
            delta_.read(offset, part);
        } else {
            const std::uint64_t there =
                below_ != nullptr && offset < below_->size() ? below_->size() - offset : 0;
            const auto lower = part.first(std::min<std::uint64_t>(part.size(), there));
            if (!lower.empty()) {
                below_->read(offset, lower);
            }
            std::ranges::fill(part.subspan(lower.size()), std::byte{0});
        }
        offset += part.size();
        buffer = buffer.subspan(part.size());
    }
}

std::vector<Extent> LayeredDevice::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const Range run = run_at(offset, range.end());
        if (delta_.raw()) {
            append_raw_extents(result, delta_.file(), run);
        } else if (delta_.place(offset / delta_.cluster_size())) {
            append_extent(result, run, ExtentKind::data);
        } else {
            const std::uint64_t below_end =
                below_ != nullptr ? std::clamp(below_->size(), run.offset, run.end()) : run.offset;
            if (run.offset < below_end) {
                for (const Extent& extent : below_->extents({run.offset, below_end - run.offset})) {
                    append_extent(result, extent.range, extent.kind);
                }
            }
            append_extent(result, {below_end, run.end() - below_end}, ExtentKind::unallocated);
        }
        offset = run.end();
    }
    return result;
}

} // namespace disktool::ploop
