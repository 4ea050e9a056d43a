// SPDX-License-Identifier: LGPL-2.1-or-later
// snapshot, tsnapshot, snapshot-switch, snapshot-delete.
#include "command.h"
#include "device_mount.h"
#include "known_devices.h"
#include "mount_table.h"
#include "running_devices.h"
#include "temporary_snapshots.h"
#include "words.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

namespace disktool::ploop::cli {

namespace {

/// What is mounted of it gets its data down first: the freeze then has less to do.
void sync_filesystems(const DeviceState& device) {
    for (const MountPoint& point : mount_points_of(device)) {
        const disktool::Descriptor folder(open(point.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (folder && syncfs(folder.get()) != 0) {
            throw SystemError("Cannot sync", point.path, errno);
        }
    }
}

int snapshot_running(const Options& options, const DeviceState& device,
                     const RunningDisk::RunningSnapshot& wanted) {
    const SnapshotRequest& request = wanted.request;
    DeviceRequest asked{"snapshot", ControlMessage::object(), "put a new top on its images"};
    if (request.uuid) {
        asked.arguments["uuid"] = request.uuid->text();
        asked.text = fmt::format("take the snapshot {}", request.uuid->text());
        options.output->json()["uuid"] = request.uuid->text();
    }
    if (wanted.temporary) {
        asked.arguments["temporary"] = true;
    }
    if (request.bitmap) {
        asked.arguments["bitmap"] = *request.bitmap;
    }
    if (!wanted.new_file.empty()) {
        asked.arguments["new_file"] = wanted.new_file;
        asked.text += fmt::format(", with {} as the new top", wanted.new_file);
    }
    asked.text += ", while its file system stands still";
    return carry_out(options, device, asked);
}

/// By -d, with the file of the new top behind it: a disk that was mounted by its images has nothing else that
/// would name it.
DeviceState device_to_snapshot(const CommandLine& line, const std::string& node,
                               RunningDisk::RunningSnapshot& wanted) {
    if (line.operands().size() > 1) {
        throw UsageError(fmt::format("snapshot: unexpected word \"{}\"", line.operands()[1]));
    }
    DeviceState device = device_of_word(node);
    if (!line.operands().empty()) {
        // The device's process has another working folder.
        wanted.new_file = absolute_path(line.operands().front());
    }
    if (device.descriptor.empty() && wanted.new_file.empty()) {
        throw ParameterError(fmt::format("{} runs without a DiskDescriptor.xml: name the file of its new top "
                                         "behind {}",
                                         device.node, node));
    }
    if (device.descriptor.empty() && wanted.request.uuid) {
        throw ParameterError(fmt::format(
            "{} runs without a DiskDescriptor.xml, where a snapshot's uuid would be kept: leave -u out",
            device.node));
    }
    return device;
}

} // namespace

int run_snapshot(Options& options, const std::vector<std::string>& words) {
    RunningDisk::RunningSnapshot wanted;
    SnapshotRequest& request = wanted.request;
    std::string node;
    bool sync_first = false;
    CommandLine line(options, words, "Fd:u:b:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'F':
            sync_first = true;
            break;
        case 'd':
            node = line.value();
            break;
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        default:
            request.bitmap = parse_plain_uuid(line.value());
        }
    }
    std::optional<DeviceState> running;
    std::string descriptor;
    if (node.empty()) {
        descriptor = descriptor_operand(line);
        running = writer_of_disk(descriptor);
    } else {
        running = device_to_snapshot(line, node, wanted);
    }
    if (!request.uuid && (!running || !running->descriptor.empty())) {
        request.uuid = Uuid::random(); // here, so that --json can tell it
    }
    if (running) {
        if (sync_first && !options.dry_run) {
            sync_filesystems(*running);
        }
        return snapshot_running(options, *running, wanted);
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    if (!options.dry_run) {
        remove_temporary_snapshots(*disk); // as at a mount
    }
    Plan plan = plan_snapshot(*disk, request);
    options.output->json()["uuid"] = request.uuid->text();
    return carry_out(options, plan);
}

int run_tsnapshot(Options& options, const std::vector<std::string>& words) {
    RunningDisk::RunningSnapshot wanted;
    wanted.temporary = true;
    SnapshotRequest& request = wanted.request;
    DeviceMountRequest mount;
    CommandLine line(options, words, "u:c:m:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        case 'c':
            mount.start.component = line.value();
            break;
        default:
            mount.folder = parse_name("-m", "the folder to mount in", line.value());
        }
    }
    const std::string operand = descriptor_operand(line);
    if (!request.uuid || mount.start.component.empty()) {
        throw UsageError("");
    }
    const std::optional<DeviceState> running = writer_of_disk(operand);
    if (!running) {
        demand_known_devices();
        throw PloopError(
            Exit::not_mounted, ErrorCode::not_found,
            fmt::format("{} is not mounted: a temporary snapshot is taken of a running disk", operand));
    }
    const int code = snapshot_running(options, *running, wanted);
    RunningSource& source = mount.start.source;
    source.descriptor = real_doors().files.real_path(operand);
    source.uuid = request.uuid;
    source.read_only = true;
    source.allowed = options.allowed;
    mount.uuid = request.uuid->text();
    mount.is_top = false;
    return code != 0 ? code : mount_device(options, mount);
}

int run_snapshot_switch(Options& options, const std::vector<std::string>& words) {
    std::optional<Uuid> uuid;
    bool keep_old_top = false;
    CommandLine line(options, words, "u:D");
    while (const char letter = line.next()) {
        if (letter == 'u') {
            uuid = parse_uuid(line.value());
        } else {
            keep_old_top = true;
        }
    }
    const std::string descriptor = descriptor_operand(line);
    if (!uuid) {
        throw UsageError("");
    }
    refuse_while_running(descriptor, Exit::invalid_parameter, "snapshot-switch");
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    demand_snapshot(*disk, *uuid);
    Plan plan = plan_snapshot_switch(*disk, {*uuid, keep_old_top});
    options.output->json()["uuid"] = uuid->text();
    return carry_out(options, plan);
}

int run_snapshot_delete(Options& options, const std::vector<std::string>& words) {
    std::optional<Uuid> uuid;
    CommandLine line(options, words, "u:");
    while (line.next() != 0) {
        uuid = parse_uuid(line.value());
    }
    const std::string descriptor = descriptor_operand(line);
    if (!uuid) {
        throw UsageError("");
    }
    if (const std::optional<DeviceState> running = writer_of_disk(descriptor)) {
        demand_snapshot(*open_disk(options, descriptor, Access::read), *uuid);
        options.output->json()["uuid"] = uuid->text();
        return carry_out(
            options, *running,
            {"delete", {{"uuid", uuid->text()}}, fmt::format("delete the snapshot {}", uuid->text())});
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    demand_snapshot(*disk, *uuid);
    Plan plan = plan_snapshot_delete(*disk, *uuid);
    options.output->json()["uuid"] = uuid->text();
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
