// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running.h"

#include "device/device_state.h"
#include "image/locks.h"
#include "ploop_error.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

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

/// Of the original's driver.
std::optional<std::string> kernel_device(FileDoor& files, const FileStatus& image) {
    if (!files.status(block_devices)) {
        return std::nullopt;
    }
    for (const std::string& name : files.list(block_devices)) {
        const std::string deltas = std::string(block_devices) + "/" + name + "/pdelta";
        if (!name.starts_with("ploop") || !files.status(deltas)) {
            continue;
        }
        try {
            if (has_delta(files, deltas, image)) {
                return "/dev/" + name;
            }
        } catch (const Error&) { // it was stopped meanwhile
            continue;
        }
    }
    return std::nullopt;
}

std::optional<std::string> own_device(const FileStatus& image) {
    for (const DeviceState& state : devices_of_image(image)) {
        if (state.alive && state.pid != ::getpid()) {
            return state.node;
        }
    }
    return std::nullopt;
}

/// Where a lock of `mode` cannot be had because of another process. Our own locks are no hindrance.
void refuse_locked(FileDoor& files, const std::string& image_path, LockMode mode) {
    if (!files.status(image_path)) {
        return;
    }
    const auto file = files.open(image_path, {});
    if (file->try_flock(mode)) {
        file->try_flock(LockMode::none);
        return;
    }
    const std::vector<LockHolder> holders = lock_holders(file->status());
    if (!holders.empty()) {
        throw PloopError(Exit::dirty, ErrorCode::locked,
                         fmt::format("{} is in use by {}: unmount the disk, or end that program", image_path,
                                     holders_text(holders)),
                         Reason::image_in_use);
    }
}

void refuse_device(FileDoor& files, const std::string& image_path) {
    if (const auto device = running_device(files, image_path)) {
        throw PloopError(Exit::dirty, ErrorCode::locked,
                         fmt::format("{} is in use by {}: unmount it first", image_path, *device),
                         Reason::image_in_use);
    }
}

} // namespace

std::optional<std::string> running_device(FileDoor& files, const std::string& image_path) {
    const std::optional<FileStatus> image = files.status(image_path);
    if (!image) {
        return std::nullopt;
    }
    const auto device = own_device(*image);
    return device ? device : kernel_device(files, *image);
}

void refuse_running(FileDoor& files, const std::string& image_path) {
    refuse_device(files, image_path);
    refuse_locked(files, image_path, LockMode::shared);
}

void refuse_used(FileDoor& files, const std::string& image_path) {
    refuse_device(files, image_path);
    refuse_locked(files, image_path, LockMode::exclusive);
}

} // namespace disktool::ploop
