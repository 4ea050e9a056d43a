// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_filesystem.h"

#include "errors.h"
#include "header.h"
#include "mount_table.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace disktool::ploop::cli {

namespace {

std::uint64_t number_of(const std::string& node) {
    struct stat status {};
    return stat(node.c_str(), &status) == 0 && S_ISBLK(status.st_mode) ? status.st_rdev : 0;
}

/// The mount of that node by which its root is seen: the first, else none.
const MountPoint* mount_of(const std::vector<MountPoint>& points, const std::string& node) {
    const auto found = std::ranges::find_if(
        points, [&](const MountPoint& point) { return number_of(point.source) == number_of(node); });
    return found == points.end() ? nullptr : &*found;
}

} // namespace

void RunningFilesystem::refuse_read_only() const {
    if (device.read_only) {
        throw ParameterError(fmt::format("{} is mounted read-only: nothing is changed on it", name()));
    }
}

RunningFilesystem running_filesystem(const Options& options, const DeviceState& device) {
    if (!device.alive) {
        refuse_dead(device);
    }
    RunningFilesystem found;
    found.options = &options;
    found.device = device;
    const std::vector<MountPoint> points = mount_points_of(device);
    found.node = filesystem_node(device);
    const MountPoint* point = mount_of(points, found.node);
    for (const DevicePartition& partition : device.partitions) {
        if (point == nullptr) {
            point = mount_of(points, partition.node);
            found.node = point != nullptr ? partition.node : found.node;
        }
    }
    if (point == nullptr && (point = mount_of(points, device.node)) != nullptr) {
        found.node = device.node;
    }
    for (const DevicePartition& partition : device.partitions) {
        if (partition.node == found.node) {
            found.partition = partition.number;
        }
    }
    if (point != nullptr) {
        found.mount_point = point->path;
        found.type = point->filesystem;
    } else {
        found.type = filesystem_type(found.node).value_or("");
    }
    return found;
}

RunningFilesystem filesystem_of_device(const Options& options, const std::string& device) {
    return running_filesystem(options, device_of_word(device));
}

RunningFilesystem filesystem_of_mount(const Options& options, const std::string& mount_point) {
    if (const std::optional<DeviceState> device = device_at(mount_point)) {
        RunningFilesystem found = running_filesystem(options, *device);
        found.mount_point = mounted_on(mount_point).value_or(MountPoint{}).path;
        return found;
    }
    throw ParameterError(
        fmt::format("No ploop device is mounted at {}; ploop list -a shows where they are", mount_point));
}

RunningImage running_image(const DeviceState& device) {
    const ControlMessage status = device_status(device);
    RunningImage image;
    image.path = device.images.back().path;
    image.cluster = status.value("cluster", std::uint64_t{0}) * sector_size;
    // Only a base can be raw.
    image.raw = device.images.size() == 1 && status.value("raw_base", false);
    image.served = device.backend != "loop";
    return image;
}

void refuse_unserved(const RunningFilesystem& filesystem, const RunningImage& image) {
    if (!image.served) {
        throw ParameterError(
            fmt::format("{} lies straight on the file of its image, which keeps all its clusters. Unmount "
                        "it and do this to the disk at rest, or mount it with --backend fuse",
                        filesystem.device.node));
    }
}

std::uint64_t device_size(const std::string& node) {
    return real_doors().files.open(node, {})->status().size;
}

TemporaryMount::TemporaryMount(RunningFilesystem& filesystem) : filesystem_(filesystem) {
    if (filesystem.mounted()) {
        return;
    }
    folder_ = filesystem.device.images.front().path + ".mnt";
    if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
        throw SystemError("Cannot make the folder", folder_, errno);
    }
    try {
        mount_filesystem({filesystem.node, folder_, filesystem.type, "nosuid,nodev,noexec", false});
    } catch (...) {
        rmdir(folder_.c_str());
        throw;
    }
    mounted_ = true;
    filesystem.mount_point = folder_;
}

TemporaryMount::~TemporaryMount() {
    if (!mounted_) {
        return;
    }
    filesystem_.mount_point.clear();
    try {
        if (const std::optional<MountPoint> point = mounted_on(folder_)) {
            unmount(*point, {});
        }
        rmdir(folder_.c_str());
    } catch (const Error& error) {
        log(LogLevel::warning, error.what());
    }
}

} // namespace disktool::ploop::cli
