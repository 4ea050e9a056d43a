// SPDX-License-Identifier: LGPL-2.1-or-later
// Which device runs the disk of --hdd.
#include "ask_device.h"
#include "mount_table.h"
#include "running.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::cli {

namespace {

constexpr const char* descriptor_name = "DiskDescriptor.xml";

/// What --hdd names, with links followed; a folder means the descriptor in it. None: there is no such file.
struct Named {
    std::string path;
    FileStatus status;
};
std::optional<Named> named_by(const std::string& word) {
    FileDoor& files = real_doors().files;
    std::string path = word;
    std::optional<FileStatus> status = files.status(path);
    if (status && status->type == FileType::directory) {
        path += std::string("/") + descriptor_name;
        status = files.status(path);
    }
    if (!status || status->type != FileType::regular) {
        return std::nullopt;
    }
    return Named{files.real_path(path), *status};
}

bool has_image(const DeviceState& device, const FileStatus& file) {
    return std::ranges::any_of(device.images, [&](const DeviceImage& image) { return image.is(file); });
}

/// Devices that have an image of that disk, the one that writes first.
std::vector<DeviceState> devices_of(const Named& named) {
    std::vector<DeviceState> devices = ploop::cli::readable_states();
    std::erase_if(devices, [&](const DeviceState& device) {
        return device.descriptor != named.path && !has_image(device, named.status);
    });
    std::ranges::stable_partition(devices, [](const DeviceState& device) { return !device.read_only; });
    return devices;
}

/// A disk that was mounted by its images alone: its device knows no descriptor, but the descriptor knows them.
std::optional<DeviceState> device_by_chain(Run& run) {
    std::vector<DeviceState> devices = ploop::cli::readable_states();
    std::erase_if(devices, [](const DeviceState& device) {
        return device.format != "ploop" || !device.descriptor.empty() || device.read_only ||
               device.images.empty() || !device.alive;
    });
    if (devices.empty()) {
        return std::nullopt;
    }
    const std::string top = run.open(Access::read).path();
    run.close();
    const std::optional<FileStatus> status = real_doors().files.status(top);
    const auto found = std::ranges::find_if(
        devices, [&](const DeviceState& device) { return status && device.images.back().is(*status); });
    return found == devices.end() ? std::nullopt : std::make_optional(*found);
}

std::string places_of(const DeviceState& device) {
    std::string places;
    for (const ploop::cli::MountPoint& point : ploop::cli::mount_points_of(device)) {
        places += (places.empty() ? ", mounted at " : ", ") + point.path;
    }
    return places;
}

std::string way_out(const DeviceState& device) {
    return device.format == "ploop" ? fmt::format("ploop umount -d {}", device.node)
                                    : fmt::format("prl_disk_tool umount --hdd {}", device.disk);
}

} // namespace

std::optional<DeviceState> running_device(Run& run, bool changes) {
    const std::optional<Named> named = named_by(run.arguments().image);
    if (!named) {
        return std::nullopt; // opening it says what is wrong with the name
    }
    std::vector<DeviceState> devices = devices_of(*named);
    std::erase_if(devices, [](const DeviceState& device) { return device.format != "ploop"; });
    if (devices.empty() && named->path.ends_with(".xml")) {
        return device_by_chain(run);
    }
    if (devices.empty() || devices.front().read_only) {
        return std::nullopt;
    }
    const DeviceState& device = devices.front();
    if (device.descriptor != named->path && !device.images.back().is(named->status)) {
        if (!changes) {
            return std::nullopt; // a snapshot stays as it is while its disk runs
        }
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} holds a snapshot of {}, which runs as {}, and what lies above it would be "
                                "damaged by a change. Name the disk: {}",
                                run.arguments().image, device.disk, device.node, device.disk),
                    Reason::internal_snapshots);
    }
    if (!device.alive && !changes) {
        return std::nullopt; // nobody serves it, so the image is all there is to look at
    }
    return device;
}

std::vector<DeviceState> devices_of_disk(const FileStatus& image) {
    std::vector<DeviceState> devices = devices_of_image(image);
    std::erase_if(devices, [&](const DeviceState& device) {
        const std::optional<FileStatus> disk = real_doors().files.status(device.disk);
        return !disk || !disk->same_file(image);
    });
    return devices;
}

std::string who_has_it(const Run& run) {
    const std::optional<Named> named = named_by(run.arguments().image);
    const std::vector<DeviceState> devices = named ? devices_of(*named) : std::vector<DeviceState>();
    if (devices.empty()) {
        return {};
    }
    const DeviceState& device = devices.front();
    if (device.format == "ploop") {
        return fmt::format(", but by ploop: {}{}. Unmount it with \"{}\"", device.node, places_of(device),
                           way_out(device));
    }
    return fmt::format(", but {}, which stands upon it, is: {}{}. Unmount that with \"{}\"", device.disk,
                       device.node, places_of(device), way_out(device));
}

void refuse_on_device(const Run& run, const DeviceState& device) {
    if (!device.alive) {
        throw Error(ErrorCode::locked,
                    fmt::format("{} has a device already, {}{}, whose process has died. \"{}\" clears it away",
                                run.arguments().image, device.node, places_of(device), way_out(device)),
                    Reason::image_in_use);
    }
    throw Error(ErrorCode::locked,
                fmt::format("{} runs as {}{}, and {} works on a disk at rest. Unmount it first, with \"{}\"",
                            run.arguments().image, device.node, places_of(device), run.arguments().verb,
                            way_out(device)),
                Reason::image_in_use);
}

void explain_lock(const Run& run) {
    const std::optional<Named> named = named_by(run.arguments().image);
    std::vector<DeviceState> devices = named ? devices_of(*named) : std::vector<DeviceState>();
    std::erase_if(devices, [](const DeviceState& device) { return !device.alive; }); // they hold no lock
    if (devices.empty() || run.arguments().action == Action::umount) {
        return; // umount works on devices, and its error says who uses that one
    }
    const DeviceState& device = devices.front();
    const Action action = run.arguments().action;
    const bool works = action == Action::resize || action == Action::compact || action == Action::merge;
    if (works && device.format == "ploop" && !device.read_only) {
        return; // what is locked is the work itself, and the error says by whom
    }
    refuse_on_device(run, device);
}

} // namespace disktool::cli
