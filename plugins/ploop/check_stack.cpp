// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check.h"
#include "ploop_error.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <array>
#include <cstddef>

namespace disktool::ploop {

namespace {

/// 0 where there is no header.
std::uint32_t cluster_of(File& file) {
    std::array<std::byte, header_size> bytes{};
    if (file.read_some(0, bytes) < bytes.size()) {
        return 0;
    }
    try {
        return parse_header(bytes, file.path()).cluster_sectors;
    } catch (const Error&) {
        return 0;
    }
}

} // namespace

CheckResult check_stack(std::span<const CheckedImage> base_to_top, std::uint32_t cluster_sectors,
                        const CheckWriter& writer) {
    CheckResult result;
    for (const CheckedImage& image : base_to_top) {
        const bool top = &image == &base_to_top.back();
        // Before anything is changed: an image of another disk is not ours to repair.
        const std::uint32_t own = image.raw ? cluster_sectors : cluster_of(*image.file);
        if (is_cluster_size(own) && own != cluster_sectors) {
            writer.err(fmt::format("Wrong cluster size {} in image {}, the disk's descriptor says {}", own,
                                   image.file->path(), cluster_sectors));
            result = {};
            result.exit_code = static_cast<int>(Exit::fatal_check);
        } else {
            result = check_image(*image.file,
                                 {.thorough = true,
                                  .read_only = !top || !image.writable,
                                  .silent = true,
                                  .drop_in_use = true,
                                  .raw = image.raw,
                                  .raw_cluster_sectors = cluster_sectors,
                                  .fill_sparse = true,
                                  // To compact a raw image means to make holes in it.
                                  .allow_sparse = image.allow_sparse || image.raw},
                                 writer, image.writable);
        }
        if (result.exit_code != static_cast<int>(Exit::ok)) {
            writer.err(fmt::format("{} : irrecoverable errors ({})", image.file->path(), top ? "rw" : "ro"));
            break;
        }
    }
    return result;
}

} // namespace disktool::ploop
