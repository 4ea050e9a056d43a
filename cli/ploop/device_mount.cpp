// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_mount.h"

#include "command.h"
#include "engine/host_program.h"
#include "mount_table.h"
#include "running_devices.h"
#include "statfs_file.h"

#include <disktool/last_words.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <utility>

namespace disktool::ploop::cli {

namespace {

/// What the steps hand to each other.
struct Mounting {
    const Options& options;
    DeviceMountRequest request;
    DeviceState device{};

    void say(const std::string& line) const { options.output->say(line); }
    bool read_only() const { return request.start.source.read_only; }
    std::string disk() const {
        const RunningSource& source = request.start.source;
        return source.descriptor.empty() ? source.images.back() : source.descriptor;
    }
    std::string type() const {
        return !request.type.empty() ? request.type : filesystem_type(filesystem_node(device)).value_or("ext4");
    }
};
using Shared = std::shared_ptr<Mounting>;

class StartStep final : public Step {
  public:
    explicit StartStep(Shared mounting) : mounting_(std::move(mounting)) {}
    std::string kind() const override { return "ploop.start-device"; }
    std::string text() const override {
        const DeviceStart& start = mounting_->request.start;
        return fmt::format("start {} for {}{}, {}",
                           start.minor ? fmt::format("/dev/ploop{}", *start.minor) : "the first free device",
                           mounting_->disk(), start.source.uuid ? " up to " + start.source.uuid->text() : "",
                           mounting_->read_only() ? "read-only" : "writable");
    }
    std::string needs_no_undo() const override { return {}; }
    void commit(StepContext&) override {
        mounting_->device = start_device(mounting_->options, mounting_->request.start);
        const DeviceState& device = mounting_->device;
        for (const DeviceImage& image : device.images) {
            const bool written = !device.read_only && &image == &device.images.back();
            mounting_->say(
                fmt::format("Adding delta dev={} img={} ({})", device.node, image.path, written ? "rw" : "ro"));
        }
        Json& json = mounting_->options.output->json();
        json["device"] = mounting_->device.node;
        json["partition"] = filesystem_node(mounting_->device);
    }
    void undo(StepContext&) override {
        if (!mounting_->device.node.empty()) {
            CancelToken never;
            Options undisturbed = mounting_->options;
            undisturbed.cancel = &never;
            stop_device(undisturbed, mounting_->device, stop_patience);
        }
    }

  private:
    Shared mounting_;
};

/// -F.
class CheckStep final : public Step {
  public:
    explicit CheckStep(Shared mounting) : mounting_(std::move(mounting)) {}
    std::string kind() const override { return "ploop.fsck"; }
    std::string text() const override { return "check the file system, and mend what is safe to mend"; }
    std::string needs_no_undo() const override { return "a mended file system need not be broken again"; }
    void commit(StepContext& context) override {
        const std::string type = mounting_->type();
        const std::string node = filesystem_node(mounting_->device);
        disktool::Command command;
        // Without a word of the user nothing is lost: -p mends only what is safe.
        command.arguments = {program(context.doors(), type), mounting_->read_only() ? "-n" : "-p", node};
        command.cancel = &context.cancel();
        mounting_->say("Running: " + fmt::format("{}", fmt::join(command.arguments, " ")) + " ");
        const CommandResult result = context.doors().processes.run(command);
        if (result.exit_status > (mounting_->read_only() ? 0 : most_harmless)) {
            throw PloopError(Exit::fsck, ErrorCode::damaged,
                             fmt::format("Command {}  exited with code {}: {}. {}",
                                         fmt::join(command.arguments, " "), result.exit_status,
                                         last_words(result, most_said), way_out(command.arguments.front())),
                             Reason::filesystem_damaged);
        }
    }

  private:
    static constexpr int most_harmless = 1; ///< fsck(8): errors corrected
    static constexpr std::size_t most_said = 3;

    /// When this step fails the device goes, so that a repair by hand begins with one that is not mounted.
    std::string way_out(const std::string& fsck) const {
        const RunningSource& source = mounting_->request.start.source;
        if (!mounting_->request.is_top) {
            return "Nothing can be repaired in a snapshot: mount it without -F, or the disk in its place";
        }
        const std::string disk =
            source.descriptor.empty() ? fmt::format("{}", fmt::join(source.images, " ")) : source.descriptor;
        return fmt::format("To repair it by hand: \"ploop mount {}\" (without -m and -r), \"{} NODE\" with the "
                           "partition of the device that it names (as {} now), then \"ploop umount {}\"",
                           disk, fsck, filesystem_node(mounting_->device),
                           source.descriptor.empty() ? source.images.back() : disk);
    }

    static std::string program(Doors doors, const std::string& type) {
        try {
            return require_program(doors, "fsck." + type, "", "", "to check the file system").path;
        } catch (const Error& error) {
            throw PloopError(Exit::fsck, error.code(), error.what(), error.reason());
        }
    }

    Shared mounting_;
};

class MountStep final : public Step {
  public:
    explicit MountStep(Shared mounting) : mounting_(std::move(mounting)) {}
    std::string kind() const override { return "ploop.mount"; }
    std::string text() const override {
        const DeviceMountRequest& request = mounting_->request;
        return fmt::format("mount its file system{} at {}{}{}",
                           request.type.empty() ? "" : " (" + request.type + ")", request.folder,
                           request.options.empty() ? "" : " with the options " + request.options,
                           mounting_->read_only() ? ", read-only" : "");
    }
    std::string needs_no_undo() const override { return "it is the last step"; }
    void commit(StepContext& context) override {
        const DeviceMountRequest& request = mounting_->request;
        MountRequest mount{filesystem_node(mounting_->device), request.folder, mounting_->type(),
                           request.options, mounting_->read_only()};
        if (mount.type == "xfs" && mount.read_only) {
            mount_xfs_snapshot(mount);
        } else {
            mount_plainly(mount);
        }
        mounting_->say(fmt::format("Mounted {} at {} fstype={} data='{}' {}", mount.node, mount.folder,
                                   mount.type, mount.options, mount.read_only ? "ro" : ""));
        Json& json = mounting_->options.output->json();
        json["mount_point"] = request.folder;
        json["filesystem"] = mount.type;
        if (!mount.read_only) {
            forget_figures(context);
        }
    }

  private:
    /// Where nothing is known the kernel speaks of a bad superblock, of a file system that nobody has made.
    void mount_plainly(const MountRequest& mount) const {
        try {
            mount_filesystem(mount);
        } catch (const PloopError& error) {
            if (!mounting_->request.type.empty() || filesystem_type(mount.node)) {
                throw;
            }
            throw PloopError(
                error.exit(), ErrorCode::unsupported,
                fmt::format(
                    "Can't mount {} at {}: nothing that is known lies on {}. If one is there, name its type "
                    "with -t; if the disk is new, make one: \"ploop mount {}\" without -m tells the "
                    "device, and mkfs.ext4 makes it on {}",
                    mounting_->disk(), mount.folder, mount.node, mounting_->disk(),
                    mounting_->device.partitions.empty() ? "the device (it has no partitions)"
                                                         : "its partition, as " + mount.node),
                Reason::nothing_known);
        }
    }

    /// An XFS will not be mounted beside another of its uuid, nor with a log that it may not replay: a snapshot
    /// has both.
    void mount_xfs_snapshot(MountRequest& mount) {
        const std::string given = mount.options;
        for (const char* more : {"", "nouuid", "norecovery,nouuid"}) {
            mount.options = given + (given.empty() || *more == '\0' ? "" : ",") + more;
            try {
                mount_filesystem(mount);
                if (*more != '\0') {
                    mounting_->say(
                        fmt::format("note: mounted with {}, as the snapshot of an XFS needs it", more));
                }
                return;
            } catch (const PloopError&) {
                if (std::string_view(more).starts_with("norecovery")) {
                    throw;
                }
            }
        }
    }

    void forget_figures(StepContext& context) {
        try {
            remove_statfs(context.doors().files, mounting_->request.base_image);
        } catch (const Error& error) {
            context.warn(error.what());
        }
    }

    Shared mounting_;
};

void check_folder(const std::string& folder) {
    const std::optional<FileStatus> status = real_doors().files.status(folder);
    if (!status || status->type != FileType::directory) {
        throw ParameterError(fmt::format("There is no folder {} to mount the file system at", folder));
    }
}

} // namespace

int mount_device(const Options& options, const DeviceMountRequest& request) {
    const auto mounting = std::make_shared<Mounting>(Mounting{options, request});
    Plan plan("mount", mounting->disk());
    plan.add(std::make_unique<StartStep>(mounting));
    if (!request.folder.empty()) {
        check_folder(request.folder);
        if (request.fsck) {
            plan.add(std::make_unique<CheckStep>(mounting));
        }
        plan.add(std::make_unique<MountStep>(mounting));
    }
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
