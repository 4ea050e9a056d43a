// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "disk_folder.h"
#include "filesystem_figures.h"
#include "known_devices.h"
#include "mount_table.h"
#include "node_device.h"
#include "running_devices.h"
#include "statfs_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

struct TopImage {
    std::uint64_t disk_sectors = 0;
    std::uint32_t cluster_sectors = 0;
    unsigned version = 0; ///< 0: raw
};

/// From the header of the top image alone: a damaged BAT is no reason not to tell the size. Of a disk that
/// runs the mark says nothing, and the header is kept up to date.
TopImage read_top(const PloopDisk& disk, bool running) {
    const Descriptor& descriptor = disk.descriptor;
    const std::string path = disk.file_of(descriptor.top);
    const std::unique_ptr<File> file = disk.doors().files.open(path, {});
    const ImageEntry* entry = descriptor.image(descriptor.top);
    if (entry != nullptr && entry->raw) {
        return {file->status().size / sector_size, descriptor.cluster_sectors, 0};
    }
    std::array<std::byte, header_size> bytes{};
    file->read(0, bytes);
    const Header header = parse_header(bytes, path);
    check_header(header, path);
    if (header.is_in_use() && !running) {
        throw Error(ErrorCode::damaged,
                    fmt::format("{} is in use, or was not closed in order: ploop check puts it right", path),
                    Reason::image_dirty);
    }
    return {header.disk_sectors, header.cluster_sectors, static_cast<unsigned>(header.version)};
}

void tell_geometry(Output& output, const PloopDisk& disk, bool running) {
    const TopImage geometry = read_top(disk, running);
    output.result(fmt::format("size:\t\t{}\nblocksize:\t{}\nfmt_version:\t{}\n", geometry.disk_sectors,
                              geometry.cluster_sectors, geometry.version));
    output.json()["size"] = geometry.disk_sectors;
    output.json()["blocksize"] = geometry.cluster_sectors;
    output.json()["fmt_version"] = geometry.version;
}

/// An image that is not mounted has none, which is no error.
void tell_device(Output& output, const std::optional<DeviceState>& device) {
    const std::string node = device ? device->node : "";
    const std::string partition = device ? filesystem_node(*device) : "";
    output.result(fmt::format("device:\t\t{}\npartition:\t{}\n", node, partition));
    output.json()["device"] = device ? Json(node) : Json();
    output.json()["partition"] = device ? Json(partition) : Json();
}

/// Has nobody an image of it locked, as a device does?
bool is_free(const PloopDisk& disk) {
    try {
        return std::ranges::all_of(disk.descriptor.images, [&](const ImageEntry& image) {
            return disk.doors().files.open(disk.file_of(image.uuid), {})->try_flock(LockMode::exclusive);
        });
    } catch (const Error&) {
        return false; // it cannot be told
    }
}

/// A user who may not look at the devices still knows that there is none where no image is locked.
void demand_known_unless_free(const PloopDisk& disk) {
    try {
        demand_known_devices();
    } catch (const PloopError&) {
        if (!is_free(disk)) {
            throw;
        }
    }
}

/// Where it is mounted, what statfs(2) says; else what lies on the device, or in the images.
FilesystemFigures present_figures(const PloopDisk& disk, const std::optional<DeviceState>& device) {
    if (!device) {
        return filesystem_figures(disk);
    }
    const std::string node = filesystem_node(*device);
    const std::vector<MountPoint> points = mount_points_of(*device);
    const auto point = std::find_if(points.begin(), points.end(),
                                    [&](const MountPoint& candidate) { return candidate.source == node; });
    if (point != points.end()) {
        return figures_of_mount(point->path);
    }
    NodeDevice whole(real_doors().files.open(device->node, {}));
    FilesystemFigures figures = filesystem_figures(whole, device->node);
    figures.source = "device";
    return figures;
}

void tell_filesystem(Output& output, const FilesystemFigures& figures) {
    const std::uint64_t used_inodes = figures.inodes - figures.free_inodes;
    const auto row = [&](const auto& what, const auto& size, const auto& used) {
        output.result(fmt::format("{:>11} {:>14} {:>14}\n", what, size, used));
    };
    row("resource", "Size", "Used");
    row("1k-blocks", figures.kibibytes(), figures.used_kibibytes());
    row("inodes", figures.inodes, used_inodes);
    output.json()["filesystem"] = {{"source", figures.source}, {"block_size", figures.block_size},
                                   {"blocks", figures.blocks}, {"free_blocks", figures.free_blocks},
                                   {"inodes", figures.inodes}, {"free_inodes", figures.free_inodes}};
}

/// Of several devices the one that writes; a snapshot that is mounted beside a disk at rest is not the disk.
std::optional<DeviceState> device_shown(const std::string& descriptor) {
    const Descriptor loaded = Descriptor::load(real_doors().files, descriptor);
    for (DeviceState& device : devices_of_disk(descriptor)) {
        if (!device.read_only || device.snapshot.empty() || device.snapshot == loaded.top.text()) {
            return std::move(device);
        }
    }
    return std::nullopt;
}

} // namespace

int run_info(Options& options, const std::vector<std::string>& words) {
    bool geometry = false;
    bool device = false;
    CommandLine line(options, words, "sd");
    while (const char letter = line.next()) {
        geometry = geometry || letter == 's';
        device = device || letter == 'd';
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor_operand(line), Access::read);
    const std::optional<DeviceState> running = device_shown(disk->path());
    if (geometry) {
        const bool served =
            running ? !running->read_only && running->alive : disk_folder_of(disk->path()).has_value();
        tell_geometry(*options.output, *disk, served);
    }
    if (device) {
        if (!running) {
            demand_known_unless_free(*disk);
        }
        tell_device(*options.output, running);
    }
    if (!geometry && !device) {
        tell_filesystem(*options.output, present_figures(*disk, running));
    }
    return 0;
}

} // namespace disktool::ploop::cli
