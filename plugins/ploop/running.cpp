// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running.h"

#include "ploop_error.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool::ploop {

namespace {

constexpr const char* block_devices = "/sys/block";
constexpr std::size_t longest_path = 4096;

bool has_delta(FileDoor& files, const std::string& deltas, const FileStatus& image) {
    for (const std::string& level : files.list(deltas)) {
        std::string path = files.read_text(deltas + "/" + level + "/image", longest_path);
        while (!path.empty() && path.back() == '\n') {
            path.pop_back();
        }
        const std::optional<FileStatus> status = files.status(path);
        if (status && status->same_file(image)) {
            return true;
        }
    }
    return false;
}

} // namespace

std::optional<std::string> running_device(FileDoor& files, const std::string& image_path) {
    const std::optional<FileStatus> image = files.status(image_path);
    if (!image || !files.status(block_devices)) {
        return std::nullopt;
    }
    for (const std::string& name : files.list(block_devices)) {
        const std::string deltas = std::string(block_devices) + "/" + name + "/pdelta";
        if (!name.starts_with("ploop") || !files.status(deltas)) {
            continue;
        }
        try {
            if (has_delta(files, deltas, *image)) {
                return "/dev/" + name;
            }
        } catch (const Error&) { // it was stopped meanwhile
            continue;
        }
    }
    return std::nullopt;
}

void refuse_running(FileDoor& files, const std::string& image_path) {
    if (const auto device = running_device(files, image_path)) {
        throw PloopError(Exit::dirty, ErrorCode::locked,
                         fmt::format("{} is in use by {}: unmount it first with the ploop that mounted it",
                                     image_path, *device),
                         Reason::image_in_use);
    }
}

} // namespace disktool::ploop
