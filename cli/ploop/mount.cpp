// SPDX-License-Identifier: LGPL-2.1-or-later
// mount: a device for a disk, and its file system in a folder.
#include "command.h"
#include "device/device_folder.h"
#include "device_mount.h"
#include "disk_folder.h"
#include "disk_folder_server.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace disktool::ploop::cli {

namespace {

struct MountWords {
    DeviceMountRequest request;
    std::optional<std::string> uuid; ///< as given
    bool raw = false;
    std::uint32_t cluster_sectors = 0;
    std::string fuse_folder;
    std::vector<std::string> operands;
};

std::string backend_of(const std::string& word) {
    if (word != "auto" && word != "fuse" && word != "loop") {
        throw UsageError(fmt::format("Bad --backend argument: {}", word));
    }
    return word;
}

int minor_of(const std::string& node) {
    if (const std::optional<int> minor = minor_of_name(node)) {
        return *minor;
    }
    constexpr std::string_view start = "/dev/ploop";
    if (node.starts_with(start) && node.size() > start.size() && node[start.size()] != '0' &&
        node.find_first_not_of("0123456789", start.size()) == std::string::npos) {
        throw ParameterError(fmt::format(
            "{}: there are ploop devices from /dev/ploop0 to /dev/ploop{}, and no more", node, largest_minor));
    }
    throw ParameterError(
        fmt::format("{} is no name of a ploop device: give /dev/ploop0, /dev/ploop1, ...", node));
}

MountWords parse(Options& options, const std::vector<std::string>& words) {
    MountWords parsed;
    DeviceMountRequest& request = parsed.request;
    CommandLine line(options, words, "rFf:d:m:t:u:o:b:c:", {{"backend", true, 'B'}, {"fuse", true, 'V'}});
    while (const char letter = line.next()) {
        switch (letter) {
        case 'r':
            request.start.source.read_only = true;
            break;
        case 'F':
            request.fsck = true;
            break;
        case 'f':
            parsed.raw = parse_format(line.value()) == DiskMode::raw;
            break;
        case 'd':
            request.start.minor = minor_of(line.value());
            break;
        case 'm':
            request.folder = parse_name("-m", "the folder to mount in", line.value());
            break;
        case 't':
            request.type = line.value();
            break;
        case 'u':
            parsed.uuid = line.value();
            break;
        case 'o':
            request.options += (request.options.empty() ? "" : ",") + line.value();
            break;
        case 'b':
            parsed.cluster_sectors = parse_number("-b", line.value());
            break;
        case 'c':
            request.start.component = line.value();
            break;
        case 'B':
            request.start.backend = backend_of(line.value());
            break;
        default:
            parsed.fuse_folder = parse_name("--fuse", "the folder for the files", line.value());
        }
    }
    parsed.operands = line.operands();
    if (parsed.operands.empty()) {
        throw UsageError("");
    }
    return parsed;
}

/// Read-only only where nothing may change: a snapshot, and what others stand on.
void choose_image(RunningSource& source, const Descriptor& descriptor, const std::string& word) {
    const Uuid uuid = word == "base" ? descriptor.chain(descriptor.top).front() : parse_uuid(word);
    if (descriptor.snapshot(uuid) == nullptr) {
        throw PloopError(
            Exit::no_snapshot, ErrorCode::not_found,
            fmt::format("Can't find snapshot by uuid {} in {}; ploop snapshot-list shows which there are",
                        uuid.text(), source.descriptor));
    }
    if (uuid == descriptor.top) {
        return;
    }
    if (!source.read_only) {
        throw ParameterError(fmt::format(
            "{} is a snapshot{}, which must not change: mount it with -r, or go back to it with ploop "
            "snapshot-switch",
            uuid.text(), descriptor.children(uuid).empty() ? "" : " that others are made upon"));
    }
    source.uuid = uuid;
}

/// Of the disk that a descriptor names.
void take_descriptor(const Options& options, MountWords& words, const std::string& path) {
    FileDoor& files = real_doors().files;
    if (!files.status(path)) {
        throw PloopError(Exit::no_descriptor, ErrorCode::not_found,
                         fmt::format("{} does not exist: name the DiskDescriptor.xml of a ploop disk", path));
    }
    RunningSource& source = words.request.start.source;
    source.descriptor = files.real_path(path);
    source.allowed = options.allowed;
    const Descriptor descriptor = Descriptor::load(files, source.descriptor);
    if (words.uuid) {
        choose_image(source, descriptor, *words.uuid);
    }
    const Uuid uuid = source.uuid.value_or(descriptor.top);
    words.request.is_top = uuid == descriptor.top;
    words.request.base_image = descriptor.image(descriptor.chain(uuid).front())->path;
    words.request.uuid = uuid.text();
}

void take_images(const Options& options, MountWords& words) {
    FileDoor& files = real_doors().files;
    RunningSource& source = words.request.start.source;
    if (words.uuid) {
        throw UsageError("Option -u chooses an image of a DiskDescriptor.xml");
    }
    if (words.raw && words.cluster_sectors == 0) {
        throw ParameterError("A raw image does not tell its cluster size: give it with -b");
    }
    for (const std::string& image : words.operands) {
        if (ends_in_xml(image)) {
            throw ParameterError(
                fmt::format("{}: give one DiskDescriptor.xml, or image files from the base to the top", image));
        }
        if (!files.status(image)) {
            throw PloopError(Exit::image_open, ErrorCode::not_found, fmt::format("{} does not exist", image));
        }
        source.images.push_back(files.real_path(image));
    }
    source.allowed = options.allowed;
    source.raw_base = words.raw;
    source.raw_cluster_sectors = words.cluster_sectors;
    words.request.base_image = source.images.front();
}

[[noreturn]] void refuse_mounted(const std::string& disk, const DeviceState& device) {
    throw PloopError(Exit::mount, ErrorCode::locked,
                     fmt::format("{} is already mounted: {}{}", disk, device.node,
                                 device.alive
                                     ? ""
                                     : fmt::format(", whose process has died. \"ploop umount -d {}\" clears "
                                                   "it away",
                                                   device.node)),
                     Reason::image_in_use);
}

/// What is mounted already; several may read, if they have names (-c) to tell them apart, and a snapshot beside
/// the disk.
void refuse_second(const Options& options, const DeviceMountRequest& request) {
    const RunningSource& source = request.start.source;
    std::vector<DeviceState> devices;
    if (!source.descriptor.empty()) {
        devices = devices_of_disk(source.descriptor);
    } else if (const auto status = real_doors().files.status(source.images.back())) {
        devices = devices_of_image(*status);
    }
    for (const DeviceState& device : devices) {
        const bool same_image =
            source.descriptor.empty() || device.snapshot.empty() || device.snapshot == request.uuid;
        const bool same_name = device.component == request.start.component;
        const bool both_write = !source.read_only && !device.read_only;
        if (!(same_image && same_name) && !both_write) {
            continue;
        }
        // What a dead process has left keeps nobody away, unless it is still mounted.
        if (!device.alive && !options.dry_run && clear_dead_device(device)) {
            continue;
        }
        refuse_mounted(shown_name(source), device);
    }
}

bool has_option(const std::string& options, std::string_view wanted) {
    for (std::size_t at = 0; at <= options.size();) {
        const std::size_t end = std::min(options.find(',', at), options.size());
        if (std::string_view(options).substr(at, end - at) == wanted) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

} // namespace

int run_mount(Options& options, const std::vector<std::string>& words) {
    MountWords parsed = parse(options, words);
    DeviceMountRequest& request = parsed.request;
    RunningSource& source = request.start.source;
    if (!request.folder.empty() && has_option(request.options, "ro")) {
        source.read_only = true; // as mount(8) does with loop devices
    }
    const std::optional<std::string> descriptor =
        parsed.operands.size() > 1             ? std::nullopt
        : ends_in_xml(parsed.operands.front()) ? parsed.operands.front()
                                               : descriptor_of(real_doors().files, parsed.operands.front());
    if (descriptor) {
        take_descriptor(options, parsed, *descriptor);
    } else {
        take_images(options, parsed);
    }
    if (!parsed.fuse_folder.empty()) {
        if (!request.folder.empty() || request.start.minor || !request.start.component.empty()) {
            throw UsageError(
                "Option --fuse shows the disk as files, without a device: -d, -m and -c do not go with it");
        }
        return open_disk_folder(options, source, parsed.fuse_folder);
    }
    if (geteuid() != 0 && !options.dry_run) {
        throw PloopError(Exit::device_open, ErrorCode::not_found,
                         "Devices and mounts are root's: run it as root, or see the disk as files with "
                         "\"ploop mount --fuse DIR\"");
    }
    refuse_second(options, request);
    return mount_device(options, request);
}

} // namespace disktool::ploop::cli
