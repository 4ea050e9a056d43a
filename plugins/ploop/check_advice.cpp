// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_advice.h"

#include "check_header.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

FoundHeader header_of(const CheckedImage& image) {
    const auto nothing = [](const std::string&) {};
    return find_header(*image.file, true, {nothing, nothing}); // with all that a forced check could mend
}

/// What no check can mend; empty: it may.
std::string hopeless(const CheckedImage& image, std::uint32_t cluster_sectors, int exit_code) {
    const std::string& path = image.file->path();
    if (image.raw) {
        return is_cluster_size(cluster_sectors)
                   ? ""
                   : fmt::format(
                         "{} cannot be used as a disk with clusters of {} sectors: a power of two from {} "
                         "to {} is needed",
                         path, cluster_sectors, smallest_cluster_sectors, largest_cluster_sectors);
    }
    const FoundHeader found = header_of(image);
    if (found.exit != Exit::ok) {
        return fmt::format(
            "{} has no header of a ploop image that could be used, and ploop check cannot give it "
            "one: name another file, mount a raw image as one (-f raw), or restore it from a "
            "backup",
            path);
    }
    const std::uint32_t own = found.header.cluster_sectors;
    if (exit_code == static_cast<int>(Exit::fatal_check) && cluster_sectors != 0 && own != cluster_sectors) {
        return fmt::format("{} has clusters of {} sectors, and the disk has clusters of {}: it is an image of "
                           "another disk, or the DiskDescriptor.xml is wrong",
                           path, own, cluster_sectors);
    }
    return {};
}

} // namespace

std::string advice_on(const CheckResult& result, std::span<const CheckedImage> base_to_top,
                      std::uint32_t cluster_sectors) {
    for (const CheckedImage& image : base_to_top) {
        if (const std::string sentence = hopeless(image, cluster_sectors, result.exit_code);
            !sentence.empty()) {
            return sentence;
        }
    }
    const bool only_marked = result.exit_code == static_cast<int>(Exit::dirty) ||
                             result.exit_code == static_cast<int>(Exit::check_header);
    const auto marked = std::ranges::find_if(base_to_top, [](const CheckedImage& image) {
        return !image.raw && header_of(image).header.is_in_use();
    });
    if (result.was_dirty && only_marked && marked != base_to_top.end()) {
        return fmt::format(
            "{0} was not closed, or another program is using it. Where nobody does, \"ploop check -d "
            "{0}\" repairs it",
            marked->file->path());
    }
    return fmt::format("{} is not in order; see what its check says, and mend it with \"ploop check\"",
                       base_to_top.back().file->path());
}

} // namespace disktool::ploop
