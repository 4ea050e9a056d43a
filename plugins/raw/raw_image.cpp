// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_image.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::raw {

RawImage::RawImage(std::unique_ptr<ImageOpener> opener) : opener_(std::move(opener)), device_(opener_->file()) {
    const FileStatus status = opener_->file().status();
    info_.path = opener_->file().path();
    info_.format = "raw";
    info_.virtual_size = device_.size();
    info_.file_size = status.size;
    info_.allocated = status.allocated;
    info_.cluster_size = sector_size;
    info_.chain = {{info_.path, info_.format, info_.virtual_size, info_.allocated}};
}

std::optional<Refusal> RawImage::refusal(Capability) const {
    return Refusal{
        Reason::format_not_supported,
        fmt::format("{0}: unsupported format \"raw\". Only \"qcow2\" is supported. Convert it: qemu-img "
                    "convert -f raw -O qcow2 {0} {0}.qcow2",
                    info_.path)};
}

std::vector<HostExtent> RawImage::host_extents(Range range) {
    std::vector<HostExtent> places;
    for (const Extent& extent : device_.extents(range)) {
        // The last sector may be longer than the file.
        const std::uint64_t end = std::min(extent.range.end(), info_.file_size);
        if (extent.kind == ExtentKind::data && extent.range.offset < end) {
            places.push_back(
                {{extent.range.offset, end - extent.range.offset}, &opener_->file(), extent.range.offset});
        }
    }
    return places;
}

} // namespace disktool::raw
