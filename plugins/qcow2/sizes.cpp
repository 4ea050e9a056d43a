// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sizes.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

void check_size(const Image& image, std::uint64_t size) {
    const Header& header = image.metadata().header();
    const std::uint64_t largest =
        std::min(max_l1_bytes / 8 * header.l1_coverage(), (std::uint64_t{1} << 63) - 512);
    if (size > largest) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: {} is too large: a qcow2 image with clusters of {} can have at most {}; "
                                "\"qemu-img convert -o cluster_size=...\" makes a copy with larger clusters",
                                image.info().path, exact_size_text(size), size_text(header.cluster_size()),
                                exact_size_text(largest)),
                    Reason::size_too_large);
    }
}

} // namespace disktool::qcow2
