// SPDX-License-Identifier: LGPL-2.1-or-later
#include "deleted_image.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace disktool::ploop::cli {

namespace {

/// The files that a process has open; those that go meanwhile are left out.
std::vector<FileStatus> open_files(int pid) {
    FileDoor& files = real_doors().files;
    const std::string folder = fmt::format("/proc/{}/fd", pid);
    std::vector<FileStatus> found;
    try {
        for (const std::string& name : files.list(folder)) {
            if (const std::optional<FileStatus> status = files.status(folder + "/" + name)) {
                found.push_back(*status);
            }
        }
    } catch (const Error&) {
        return {}; // the process has ended, or is not ours to look into
    }
    return found;
}

} // namespace

std::vector<std::string> deleted_images(const DeviceState& device) {
    std::vector<std::string> deleted;
    if (!device.alive) {
        return deleted;
    }
    const std::vector<FileStatus> open = open_files(device.pid);
    for (const DeviceImage& image : device.images) {
        if (std::ranges::any_of(open,
                                [&](const FileStatus& file) { return image.is(file) && file.links == 0; })) {
            deleted.push_back(image.path);
        }
    }
    return deleted;
}

} // namespace disktool::ploop::cli
