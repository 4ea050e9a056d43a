// SPDX-License-Identifier: LGPL-2.1-or-later
// mount: a disk as a block device of the kernel, and its file system in a folder. QEMU reads and writes the
// image; ploop's own disks are mounted by ploop.
#include "command.h"
#include "common/device_process.h"
#include "device_steps.h"
#include "mount_table.h"
#include "partition/table.h"
#include "running.h"

#include <disktool/devices.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::cli {

namespace {

/// What the steps hand to each other.
struct Mounting {
    Run& run;
    ControlMessage config{};
    DeviceState device{};
};
using Shared = std::shared_ptr<Mounting>;

class StartStep final : public Step {
  public:
    explicit StartStep(Shared mounting) : mounting_(std::move(mounting)) {}
    std::string kind() const override { return "device.start"; }
    std::string text() const override {
        const Arguments& arguments = mounting_->run.arguments();
        return fmt::format("start the first free device for {}, {}", arguments.image,
                           arguments.read_only ? "read-only" : "writable");
    }
    std::string needs_no_undo() const override { return {}; }
    void commit(StepContext&) override {
        Run& run = mounting_->run;
        ReadyListener listener;
        listener.say = [&](const std::string& line) { run.say(line); };
        listener.warn = [&](const std::string& line) { run.warn(line); };
        listener.cancel = &run.cancel();
        mounting_->device = start_device_process("disk-device", mounting_->config, nullptr, listener);
        run.json()["device"] = mounting_->device.node;
    }
    void undo(StepContext&) override {
        if (!mounting_->device.node.empty()) {
            stop_device(mounting_->device);
        }
    }

  private:
    Shared mounting_;
};

[[noreturn]] void refuse_unknown(const std::string& place) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{} holds no file system that is known: name its type with --type", place),
                Reason::nothing_known);
}

class MountStep final : public Step {
  public:
    explicit MountStep(Shared mounting) : mounting_(std::move(mounting)) {}
    std::string kind() const override { return "device.mount"; }
    std::string text() const override {
        const Arguments& arguments = mounting_->run.arguments();
        return fmt::format(
            "mount its file system{} at {}{}{}",
            arguments.filesystem.empty() ? "" : " (" + arguments.filesystem + ")", arguments.mount_point,
            arguments.mount_options.empty() ? "" : " with the options " + arguments.mount_options,
            arguments.read_only ? ", read-only" : "");
    }
    std::string needs_no_undo() const override { return "it is the last step"; }
    void commit(StepContext&) override {
        Run& run = mounting_->run;
        const Arguments& arguments = run.arguments();
        const std::string node = ploop::cli::filesystem_node(mounting_->device);
        const std::string type = !arguments.filesystem.empty() ? arguments.filesystem
                                                               : ploop::cli::filesystem_type(node).value_or("");
        if (type.empty()) {
            refuse_unknown(node);
        }
        ploop::cli::mount_filesystem({.node = node,
                                      .folder = arguments.mount_point,
                                      .type = type,
                                      .options = arguments.mount_options,
                                      .read_only = arguments.read_only});
        run.json()["mount_point"] = arguments.mount_point;
        run.json()["filesystem"] = type;
        run.say(
            fmt::format("{}: {} ({}) is mounted at {}", arguments.image, node, type, arguments.mount_point));
    }

  private:
    Shared mounting_;
};

/// For --dry-run, where there is no device to be asked: as filesystem_node() and filesystem_type().
void refuse_unknown_filesystem(Session& session, const Arguments& arguments) {
    if (arguments.mount_point.empty() || !arguments.filesystem.empty()) {
        return;
    }
    BlockDevice& disk = session.image().device();
    PartitionTable table;
    try {
        table = read_partition_table(disk);
    } catch (const Error&) { // such a disk becomes a device without partitions
    }
    const auto first = std::ranges::min_element(table.partitions, {}, &Partition::number);
    const bool whole = first == table.partitions.end();
    const Range range = whole ? Range{0, disk.size()} : first->range;
    Window place(disk, range, "the file system");
    if (!identify_content(place)) {
        refuse_unknown(whole ? arguments.image
                             : fmt::format("Partition {} of {}", first->number, arguments.image));
    }
}

/// The image as QEMU is to open it, after everything that has to be looked at first: who has it open, an
/// interrupted job, where its backing files lie.
ControlMessage configuration(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(arguments.read_only ? Access::read : Access::write);
    run.recover(!arguments.read_only && !arguments.dry_run);
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
    if (arguments.dry_run) {
        refuse_unknown_filesystem(session, arguments);
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

/// What dead processes have left of this disk goes first. It holds no lock, so that nothing else would keep us
/// from a second device beside it; but what is mounted may be in use.
void clear_dead(Run& run, Plan& plan) {
    const std::optional<FileStatus> status = real_doors().files.status(run.arguments().image);
    if (!status) {
        return; // opening it says so
    }
    for (const DeviceState& device : devices_of_disk(*status)) {
        if (device.alive) {
            continue; // its locks tell
        }
        if (!ploop::cli::mount_points_of(device).empty()) {
            refuse_on_device(run, device);
        }
        plan.add(clear_step(run, device));
    }
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
    Plan plan("mount", arguments.image);
    clear_dead(run, plan);
    const auto mounting = std::make_shared<Mounting>(Mounting{run});
    mounting->config = configuration(run);
    run.close(); // QEMU has its own locks, and ours would be in their way
    plan.add(std::make_unique<StartStep>(mounting));
    if (!arguments.mount_point.empty()) {
        plan.add(std::make_unique<MountStep>(mounting));
    }
    act_on_devices(run, plan);
    if (arguments.mount_point.empty() && !arguments.dry_run) {
        run.say(fmt::format("{}: {}", arguments.image, mounting->device.node));
    }
}

} // namespace disktool::cli
