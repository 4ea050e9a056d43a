// SPDX-License-Identifier: LGPL-2.1-or-later
// mount and umount: a disk as a block device of the kernel, and its file system in a folder. QEMU reads and
// writes the image; ploop's own disks are mounted by ploop.
#include "ask_device.h"
#include "command.h"
#include "common/device_process.h"
#include "device/device_users.h"
#include "mount_table.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <thread>

namespace disktool::cli {

namespace {

using ploop::cli::mount_points_of;
using ploop::cli::MountPoint;

void require_root() {
    if (geteuid() != 0) {
        throw Error(ErrorCode::not_found, "Devices and mounts are root's: run it as root");
    }
}

/// Again for a while: udev looks at new devices.
void stop(const DeviceState& device) {
    ploop::cli::until_unlocked(std::chrono::steady_clock::now() + ploop::cli::stop_patience, nullptr,
                               [&] { ControlClient::connect(device_file(device.minor, "sock"))->ask("stop"); });
}

/// Of a device whose process was killed.
void clear_away(const DeviceState& device) {
    const std::vector<std::uint64_t> numbers = ploop::cli::device_numbers_of(device);
    if (!ploop::cli::clear_dead_device(device)) {
        throw Error(ErrorCode::locked,
                    fmt::format("{}, whose process has died, cannot be taken away, it is in use: {}",
                                device.node, users_of(device.loop, numbers)),
                    Reason::image_in_use);
    }
}

/// The image as QEMU is to open it, after everything that has to be looked at first: who has it open, an
/// interrupted job, where its backing files lie.
ControlMessage configuration(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(arguments.read_only ? Access::read : Access::write);
    run.recover(!arguments.read_only);
    const ImageInfo& info = session.image().info();
    if (info.format == "ploop") {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} is a ploop disk: mount it with \"ploop mount{} {}\"", arguments.image,
                                arguments.mount_point.empty() ? "" : " -m " + arguments.mount_point,
                                arguments.image),
                    Reason::format_not_supported);
    }
    if (info.encrypted) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} is encrypted, and mount takes no key", arguments.image), Reason::encrypted);
    }
    ControlMessage chain = ControlMessage::array();
    for (const ChainMember& member : info.chain) {
        chain.push_back(real_doors().files.real_path(member.path));
    }
    return {{"image", session.path()},
            {"format", info.format},
            {"chain", chain},
            {"read_only", arguments.read_only}};
}

DeviceState start(Run& run, const ControlMessage& config) {
    ReadyListener listener;
    listener.say = [&](const std::string& line) { run.say(line); };
    listener.warn = [&](const std::string& line) { run.warn(line); };
    listener.cancel = &run.cancel();
    return start_device_process("disk-device", config, nullptr, listener);
}

void mount_in(Run& run, const DeviceState& device) {
    const Arguments& arguments = run.arguments();
    const std::string node = ploop::cli::filesystem_node(device);
    const std::string type =
        !arguments.filesystem.empty() ? arguments.filesystem : ploop::cli::filesystem_type(node).value_or("");
    if (type.empty()) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} holds no file system that is known: name its type with --type", node),
                    Reason::nothing_known);
    }
    ploop::cli::mount_filesystem({.node = node,
                                  .folder = arguments.mount_point,
                                  .type = type,
                                  .options = arguments.mount_options,
                                  .read_only = arguments.read_only});
    run.json()["mount_point"] = arguments.mount_point;
    run.json()["filesystem"] = type;
    run.say(fmt::format("{}: {} ({}) is mounted at {}", arguments.image, node, type, arguments.mount_point));
}

std::vector<DeviceState> devices_meant(const Arguments& arguments) {
    std::vector<DeviceState> devices;
    if (!arguments.image.empty()) {
        const std::optional<FileStatus> status = real_doors().files.status(arguments.image);
        if (!status) {
            throw Error(ErrorCode::not_found, fmt::format("{} does not exist", arguments.image));
        }
        for (DeviceState& device : devices_of_image(*status)) {
            const std::optional<FileStatus> disk = real_doors().files.status(device.disk);
            if (disk && disk->same_file(*status)) { // not as a backing image of another one
                devices.push_back(std::move(device));
            }
        }
    } else if (std::optional<DeviceState> device = ploop::cli::device_at(arguments.mount_point)) {
        devices.push_back(std::move(*device));
    }
    if (devices.empty()) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{} is not mounted by prl_disk_tool",
                                arguments.image.empty() ? arguments.mount_point : arguments.image));
    }
    return devices;
}

} // namespace

void run_mount(Run& run) {
    require_root();
    const Arguments& arguments = run.arguments();
    if (!arguments.mount_point.empty()) {
        const std::optional<FileStatus> folder = real_doors().files.status(arguments.mount_point);
        if (!folder || folder->type != FileType::directory) {
            throw Error(ErrorCode::not_found,
                        fmt::format("{} is no folder to mount in", arguments.mount_point));
        }
    }
    const ControlMessage config = configuration(run);
    run.close(); // QEMU has its own locks, and ours would be in their way
    const DeviceState device = start(run, config);
    run.json()["device"] = device.node;
    try {
        if (!arguments.mount_point.empty()) {
            mount_in(run, device);
        } else {
            run.say(fmt::format("{}: {}", arguments.image, device.node));
        }
    } catch (...) {
        stop(device);
        throw;
    }
}

void run_umount(Run& run) {
    require_root();
    for (const DeviceState& device : devices_meant(run.arguments())) {
        std::vector<MountPoint> points = mount_points_of(device);
        for (auto point = points.rbegin(); point != points.rend(); ++point) {
            ploop::cli::unmount(*point, {});
            run.say(fmt::format("{} is unmounted", point->path));
        }
        if (device.alive) {
            try {
                stop(device);
            } catch (const Error&) {
                if (!ploop::cli::has_died(device)) {
                    throw;
                }
                clear_away(device); // killed after the look at it
            }
        } else {
            clear_away(device);
        }
        run.json()["device"] = device.node;
    }
}

} // namespace disktool::cli
