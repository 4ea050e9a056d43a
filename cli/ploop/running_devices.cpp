// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_devices.h"

#include "descriptor.h"

#include <disktool/doors.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::ploop::cli {

namespace {

/// Its base; none where the descriptor does not tell, or the file has gone.
std::optional<FileStatus> base_of(FileDoor& files, const std::string& descriptor_path) {
    try {
        const Descriptor descriptor = Descriptor::load(files, descriptor_path);
        const ImageEntry* base = descriptor.image(descriptor.chain(descriptor.top).front());
        return base == nullptr ? std::nullopt : files.status(base->path);
    } catch (const Error&) {
        return std::nullopt; // a disk that runs can be named by a descriptor that cannot be read any more
    }
}

} // namespace

std::vector<DeviceState> devices_of_disk(const std::string& descriptor) {
    FileDoor& files = real_doors().files;
    const std::string path = files.status(descriptor) ? files.real_path(descriptor) : descriptor;
    const std::optional<FileStatus> base = base_of(files, path);
    std::vector<DeviceState> devices = readable_states();
    std::erase_if(devices, [&](const DeviceState& device) {
        const bool same_base = base && !device.images.empty() && device.images.front().is(*base);
        return device.format != "ploop" || (device.descriptor != path && !same_base);
    });
    std::stable_partition(devices.begin(), devices.end(),
                          [](const DeviceState& device) { return !device.read_only; });
    return devices;
}

std::optional<DeviceState> writer_of_disk(const std::string& descriptor) {
    std::vector<DeviceState> devices = devices_of_disk(descriptor);
    if (devices.empty() || devices.front().read_only) {
        return std::nullopt;
    }
    return std::move(devices.front());
}

std::optional<RunningFilesystem> filesystem_of_descriptor(const Options& options,
                                                          const std::string& descriptor) {
    FileDoor& files = real_doors().files;
    const Descriptor read = Descriptor::load(files, descriptor);
    const ImageEntry* top = read.image(read.top);
    const std::optional<FileStatus> image = top == nullptr ? std::nullopt : files.status(top->path);
    for (const DeviceState& device : devices_of_disk(descriptor)) {
        const DeviceImage& last = device.images.back();
        if (!device.read_only || (image && last.is(*image))) {
            return running_filesystem(options, device);
        }
    }
    return std::nullopt;
}

void refuse_while_running(const std::string& descriptor, Exit exit, const std::string& verb) {
    const std::vector<DeviceState> devices = devices_of_disk(descriptor);
    if (!devices.empty()) {
        throw PloopError(
            exit, ErrorCode::locked,
            fmt::format("{} is mounted ({}), and {} works on a disk at rest: unmount it first, with "
                        "\"ploop umount -d {}\"",
                        descriptor, devices.front().node, verb, devices.front().node),
            Reason::image_in_use);
    }
}

void refuse_running_image(const std::string& image, Exit exit) {
    const std::optional<FileStatus> status = real_doors().files.status(image);
    if (!status) {
        return;
    }
    const std::vector<DeviceState> devices = devices_of_image(*status);
    if (!devices.empty()) {
        throw PloopError(exit, ErrorCode::locked,
                         fmt::format("{} is mounted ({}): unmount it first, with \"ploop umount -d {}\"", image,
                                     devices.front().node, devices.front().node),
                         Reason::image_in_use);
    }
}

} // namespace disktool::ploop::cli
