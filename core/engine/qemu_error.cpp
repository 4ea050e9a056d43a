// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/qemu_error.h"

#include "image/locks.h"

#include <fmt/format.h>

#include <vector>

namespace disktool {

namespace {

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// Several lines as one, without the program's name in front of each.
std::string one_line(std::string_view words) {
    std::string result;
    while (!words.empty()) {
        const std::size_t end = words.find('\n');
        std::string_view line = words.substr(0, end);
        words = end == std::string_view::npos ? std::string_view() : words.substr(end + 1);
        if (line.starts_with("qemu-")) {
            if (const std::size_t colon = line.find(": "); colon != std::string_view::npos)
                line.remove_prefix(colon + 2);
        }
        if (!line.empty())
            result += (result.empty() ? "" : "; ") + std::string(line);
    }
    return result;
}

std::vector<LockHolder> holders_of(FileDoor& files, const std::string& path) {
    const std::optional<FileStatus> status = files.status(path);
    return status ? lock_holders(*status) : std::vector<LockHolder>();
}

} // namespace

Error qemu_error(FileDoor& files, std::string_view action, const std::string& path, const std::string& words) {
    if (contains(words, "Failed to get") && contains(words, "lock"))
        return {ErrorCode::locked,
                fmt::format("{} {}: it is locked by another process: {}", action, path,
                            holders_text(holders_of(files, path))),
                Reason::image_in_use};
    const std::string sentence = fmt::format("{} {}: {}", action, path, one_line(words));
    if (contains(words, "No space left on device"))
        return {ErrorCode::no_space, sentence};
    return {ErrorCode::failure, sentence};
}

Error qemu_utils_missing(const Error& error) {
    return {ErrorCode::program_missing, fmt::format("{}: install the package qemu-utils", error.what()),
            Reason::program_missing};
}

} // namespace disktool
