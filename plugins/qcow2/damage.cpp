// SPDX-License-Identifier: LGPL-2.1-or-later
#include "damage.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

void throw_damaged(const std::string& path, std::string_view what) {
    throw Error(
        ErrorCode::damaged,
        fmt::format("{} is damaged: {}. Nothing was changed; look at it with \"qemu-img check\" or take it "
                    "from a backup.",
                    path, what));
}

std::string printable(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
    return name;
}

void check_place(const std::string& path, std::string_view what, Range place, std::uint64_t cluster_size,
                 std::uint64_t file_size) {
    if (place.offset % cluster_size != 0) {
        throw_damaged(path, fmt::format("{} at offset {} does not start at a cluster (of {} bytes)", what,
                                        place.offset, cluster_size));
    }
    if (place.offset < cluster_size) {
        throw_damaged(path, fmt::format("{} at offset {} overlaps the header", what, place.offset));
    }
    if (place.offset > file_size || place.length > file_size - place.offset) {
        throw_damaged(path,
                      fmt::format("{} ({} bytes at offset {}) lies beyond the end of the file, which has {} "
                                  "bytes",
                                  what, place.length, place.offset, file_size));
    }
}

} // namespace disktool::qcow2
