// SPDX-License-Identifier: LGPL-2.1-or-later
// umount: the file systems of a device, then the device.
#include "command.h"
#include "deleted_image.h"
#include "device/device_users.h"
#include "disk_folder.h"
#include "in_use_mark.h"
#include "known_devices.h"
#include "mount_table.h"
#include "running_devices.h"
#include "statfs_file.h"
#include "words.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::ploop::cli {

namespace {

class UnmountStep final : public Step {
  public:
    UnmountStep(MountPoint point, Say say) : point_(std::move(point)), say_(std::move(say)) {}
    std::string kind() const override { return "ploop.unmount"; }
    std::string text() const override { return fmt::format("unmount {} from {}", point_.source, point_.path); }
    std::string needs_no_undo() const override { return "an unmounted file system is whole"; }
    void commit(StepContext&) override {
        say_(fmt::format("Unmounting file system at {}", point_.path));
        unmount(point_, {});
    }

  private:
    MountPoint point_;
    Say say_;
};

/// What the death of its process has done to the image. With the back end loop the kernel goes on writing to
/// the file without the process.
std::string legacy_of_dead(const DeviceState& device) {
    const std::string& image = device.images.back().path;
    const std::optional<FileStatus> status = real_doors().files.status(image);
    if (!status || !device.images.back().is(*status)) {
        return fmt::format("The process of {} had died, and {} is not its image any more", device.node, image);
    }
    const std::optional<bool> mark = bears_mark(image);
    if (mark && !*mark) {
        return fmt::format("The process of {} had died, but {} is closed in order: nothing has to be repaired",
                           device.node, image);
    }
    const std::string lost = device.backend == "loop"
                                 ? "nothing is lost, since the kernel wrote to the file by itself"
                                 : "what was not flushed then is lost";
    return fmt::format(
        "The process of {} had died: {}{}", device.node, lost,
        mark ? fmt::format(", and {} bears the in-use mark. {}", image, way_to_repair(device.descriptor, image))
             : "");
}

void clear_away(const DeviceState& device, const Say& say) {
    const std::vector<std::uint64_t> numbers = device_numbers_of(device);
    if (!clear_dead_device(device)) {
        throw PloopError(Exit::unmount, ErrorCode::locked,
                         fmt::format("{} cannot be taken away, it is in use: {}", device.node,
                                     users_of(device.loop, numbers)),
                         Reason::image_in_use);
    }
    if (!device.read_only && !device.images.empty()) {
        say(legacy_of_dead(device));
    }
}

/// Of a device whose process was killed.
class ClearStep final : public Step {
  public:
    ClearStep(DeviceState device, Say say) : device_(std::move(device)), say_(std::move(say)) {}
    std::string kind() const override { return "ploop.clear-device"; }
    std::string text() const override {
        return fmt::format("clear away {}, whose process has died", device_.node);
    }
    std::string needs_no_undo() const override { return "nobody serves the device any more"; }
    void commit(StepContext&) override {
        say_(fmt::format("Unmounting device {}", device_.node));
        clear_away(device_, say_);
    }

  private:
    DeviceState device_;
    Say say_;
};

class StopStep final : public Step {
  public:
    StopStep(const Options& options, DeviceState device) : options_(options), device_(std::move(device)) {}
    std::string kind() const override { return "ploop.stop-device"; }
    std::string text() const override {
        return fmt::format("stop {} and close the images of {}", device_.node, device_.disk);
    }
    std::string needs_no_undo() const override { return "the image is closed in order"; }
    void commit(StepContext&) override {
        options_.output->say(fmt::format("Unmounting device {}", device_.node));
        try {
            stop_device(options_, device_, stop_patience);
        } catch (const Error& error) {
            if (has_died(device_)) { // killed after the look at it
                clear_away(device_, say_of(options_));
                return;
            }
            if (error.code() != ErrorCode::locked) {
                throw;
            }
            throw PloopError(Exit::unmount, error.code(), error.what(), error.reason());
        }
    }

  private:
    const Options& options_;
    DeviceState device_;
};

class KeepFiguresStep final : public Step {
  public:
    KeepFiguresStep(std::string base_image, FilesystemFigures figures)
        : base_image_(std::move(base_image)), figures_(std::move(figures)) {}
    std::string kind() const override { return "ploop.keep-figures"; }
    std::string text() const override {
        return fmt::format("write how full the file system is to {}", statfs_path(base_image_));
    }
    std::string needs_no_undo() const override { return "it is true"; }
    void commit(StepContext& context) override {
        try {
            store_statfs(context.doors().files, base_image_, figures_);
        } catch (const Error& error) {
            context.warn(error.what()); // the disk is unmounted all the same
        }
    }

  private:
    std::string base_image_;
    FilesystemFigures figures_;
};

/// How full it is now: none where that is not the disk's own newest state, or cannot be told.
std::optional<FilesystemFigures> present_figures(const DeviceState& device,
                                                 const std::vector<MountPoint>& points) {
    if (!device.alive || device.read_only || device.images.empty()) {
        return std::nullopt;
    }
    const std::string node = filesystem_node(device);
    const auto point = std::find_if(points.begin(), points.end(),
                                    [&](const MountPoint& candidate) { return candidate.source == node; });
    if (point == points.end()) {
        return std::nullopt;
    }
    try {
        return figures_of_mount(point->path);
    } catch (const Error&) {
        return std::nullopt;
    }
}

enum class KeepFigures { no, yes };

int unmount_device(const Options& options, const DeviceState& device, KeepFigures keep) {
    for (const std::string& image : deleted_images(device)) {
        options.output->warn(
            fmt::format("{} has been deleted while {} uses it: what is on the disk goes with the "
                        "device, and cannot be brought back afterwards",
                        image, device.node));
    }
    Plan plan("umount", device.disk);
    std::vector<MountPoint> points = mount_points_of(device);
    const std::optional<FilesystemFigures> figures =
        keep == KeepFigures::yes ? present_figures(device, points) : std::nullopt;
    std::reverse(points.begin(), points.end()); // what was mounted last may lie in what was before
    Json paths = Json::array();
    for (const MountPoint& point : points) {
        paths.push_back(point.path);
        plan.add(std::make_unique<UnmountStep>(point, say_of(options)));
    }
    if (device.alive) {
        plan.add(std::make_unique<StopStep>(options, device));
    } else {
        plan.add(std::make_unique<ClearStep>(device, say_of(options)));
    }
    if (figures) {
        plan.add(std::make_unique<KeepFiguresStep>(device.images.front().path, *figures));
    }
    options.output->json()["device"] = device.node;
    options.output->json()["mount_points"] = paths;
    return carry_out(options, plan);
}

[[noreturn]] void refuse_not_mounted(Exit exit, const std::string& what, const std::string& hint) {
    demand_known_devices();
    throw PloopError(exit, ErrorCode::not_found, fmt::format("{} is not mounted{}", what, hint));
}

int unmount_node(const Options& options, const std::string& node) {
    const std::optional<DeviceState> device = known_device(node);
    if (!device) {
        const std::optional<int> minor = minor_of_name(node);
        if (minor && has_unknown_state(*minor)) {
            throw PloopError(
                Exit::not_mounted, ErrorCode::damaged,
                fmt::format("{} does not tell what {} is: \"ploop clear -d {}\" removes that file where "
                            "no process has the device",
                            device_file(*minor, "json"), node, node));
        }
        refuse_not_mounted(Exit::not_mounted, node,
                           ": there is no such device. \"ploop list\" shows which there are");
    }
    return unmount_device(options, *device, KeepFigures::no);
}

int unmount_folder(const Options& options, const std::string& folder) {
    const std::optional<MountPoint> point = mounted_on(folder);
    if (!point) {
        refuse_not_mounted(Exit::invalid_parameter, folder,
                           ". Where umount(8) was faster, name the device (-d) or the DiskDescriptor.xml");
    }
    if (is_disk_folder(*point)) {
        return close_disk_folder(options, *point);
    }
    if (const std::optional<DeviceState> device = device_at(folder)) {
        return unmount_device(options, *device, KeepFigures::no);
    }
    throw ParameterError(
        fmt::format("What is mounted at {} ({}) is of no ploop device: use umount(8)", folder, point->source));
}

int unmount_disk(const Options& options, const std::string& descriptor, const std::string& component) {
    FileDoor& files = real_doors().files;
    std::vector<DeviceState> devices = devices_of_disk(descriptor);
    std::erase_if(devices, [&](const DeviceState& device) { return device.component != component; });
    if (const std::optional<DeviceState> device = choose_device(std::move(devices), descriptor)) {
        return unmount_device(options, *device, KeepFigures::yes);
    }
    if (!files.status(descriptor)) {
        throw PloopError(
            Exit::no_descriptor, ErrorCode::not_found,
            fmt::format("{} does not exist: name the DiskDescriptor.xml of a ploop disk", descriptor));
    }
    if (const std::optional<MountPoint> folder = disk_folder_of(files.real_path(descriptor))) {
        return close_disk_folder(options, *folder);
    }
    refuse_not_mounted(Exit::not_mounted, descriptor,
                       component.empty() ? "" : fmt::format(" with the component name \"{}\"", component));
}

int unmount_image(const Options& options, const std::string& image, const std::string& component) {
    FileDoor& files = real_doors().files;
    const std::optional<FileStatus> status = files.status(image);
    std::vector<DeviceState> devices;
    if (status) {
        devices = devices_of_image(*status);
        std::erase_if(devices, [&](const DeviceState& device) { return device.component != component; });
    }
    if (const std::optional<DeviceState> device = choose_device(std::move(devices), image)) {
        return unmount_device(options, *device, KeepFigures::no);
    }
    if (status) {
        if (const std::optional<MountPoint> folder = disk_folder_of(files.real_path(image))) {
            return close_disk_folder(options, *folder);
        }
    }
    refuse_not_mounted(Exit::invalid_parameter, image, status ? "" : ": there is no such file");
}

} // namespace

int run_umount(Options& options, const std::vector<std::string>& words) {
    std::string device, folder, component;
    CommandLine line(options, words, "d:m:c:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'd':
            device = parse_name("-d", "the device", line.value());
            break;
        case 'm':
            folder = parse_name("-m", "the folder to unmount", line.value());
            break;
        default:
            component = line.value();
        }
    }
    if (!device.empty() || !folder.empty()) {
        line.operands(0);
        if (!device.empty() && !folder.empty()) {
            throw UsageError("");
        }
        return device.empty() ? unmount_folder(options, folder) : unmount_node(options, device);
    }
    const std::string& operand = line.operand();
    // A descriptor that has gone can still name what is mounted.
    const std::optional<std::string> descriptor =
        ends_in_xml(operand) ? operand : descriptor_of(real_doors().files, operand);
    return descriptor ? unmount_disk(options, *descriptor, component)
                      : unmount_image(options, operand, component);
}

} // namespace disktool::ploop::cli
