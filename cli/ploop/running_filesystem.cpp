// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_filesystem.h"

#include "mount_table.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
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

std::unique_ptr<RunningFilesystem> filesystem_of(const DeviceState& device) {
    return std::make_unique<RunningFilesystem>(running_filesystem(device));
}

} // namespace

std::string place_of(const RunningFilesystem& filesystem) {
    return filesystem.mounted() ? "at " + filesystem.mount_point : "on " + filesystem.node;
}

RunningFilesystem running_filesystem(const DeviceState& device) {
    RunningFilesystem found;
    found.device = device;
    if (!device.alive) {
        throw PloopError(Exit::device_open, ErrorCode::failure,
                         fmt::format("The process of {} has died. ploop umount -d {} clears away what is left of it; "
                                     "then the disk can be mounted again",
                                     device.node, device.node));
    }
    found.client = ControlClient::connect(device_file(device.minor, "sock"));
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

std::unique_ptr<RunningFilesystem> filesystem_of_descriptor(const Options& options,
 const std::string& descriptor) {
    FileDoor& files = real_doors().files;
    const Descriptor read = Descriptor::load(files, descriptor);
    const ImageEntry* top = read.image(read.top);
    if (top == nullptr) {
        return nullptr;
    }
    const std::optional<FileStatus> image = files.status(resolve(files, descriptor, *top, options.allowed));
    if (!image) {
        return nullptr;
    }
    for (const DeviceState& device : devices_of_image(*image)) {
        const DeviceImage& written = device.images.back();
        if (!device.read_only && written.device == image->device && written.inode == image->inode) {
            return filesystem_of(device);
        }
    }
    return nullptr;
}

std::unique_ptr<RunningFilesystem> filesystem_of_device(const std::string& device) {
    if (const std::optional<DeviceState> state = device_of_node(device)) {
        return filesystem_of(*state);
    }
    throw ParameterError(fmt::format("{} is no running ploop device; ploop list shows which there are", device));
}

std::unique_ptr<RunningFilesystem> filesystem_of_mount(const std::string& mount_point) {
    if (const std::optional<MountPoint> point = mounted_on(mount_point)) {
        if (const std::optional<DeviceState> state = device_of_node(point->source)) {
            auto found = filesystem_of(*state);
            found->mount_point = point->path;
            return found;
        }
    }
    throw ParameterError(fmt::format("No ploop device is mounted at {}; ploop list -a shows where they are",
                                     mount_point));
}

RunningImage running_image(const DeviceState& device) {
    FileDoor& files = real_doors().files;
    RunningImage image;
    image.path = device.images.back().path;
    if (!device.descriptor.empty()) {
        const Descriptor descriptor = Descriptor::load(files, device.descriptor);
        const ImageEntry* top = descriptor.image(descriptor.top);
        image.cluster = descriptor.cluster_sectors * sector_size;
        image.raw = top != nullptr && top->raw;
        return image;
    }
    std::array<std::byte, header_size> bytes{};
    files.open(image.path, {})->read(0, bytes);
    try {
        const Header header = parse_header(bytes, image.path);
        check_header(header, image.path);
        image.cluster = header.cluster_size();
    } catch (const Error&) { // its device runs, so it is an image: a raw one
        image.cluster = default_cluster_sectors * sector_size;
        image.raw = true;
    }
    return image;
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

ControlMessage ask_device(RunningFilesystem& filesystem, const Say& say, const std::string& request,
                          ControlMessage arguments, CancelToken* cancel) {
    ControlClient::Listener listener;
    listener.say = say;
    listener.cancel = cancel;
    listener.warn = [](const std::string& line) { log(LogLevel::warning, line); };
    return filesystem.client->ask(request, std::move(arguments), listener);
}

} // namespace disktool::ploop::cli
