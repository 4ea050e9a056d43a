// SPDX-License-Identifier: LGPL-2.1-or-later
// snapshot, snapshot-switch, snapshot-delete, snapshot-merge.
#include "command.h"
#include "device_mount.h"
#include "mount_table.h"
#include "running_devices.h"
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

int snapshot_running(const Options& options, const DeviceState& device, const SnapshotRequest& request,
                     bool temporary) {
    DeviceRequest asked{"snapshot", {{"uuid", request.uuid->text()}}, {}};
    if (temporary) {
        asked.arguments["temporary"] = true;
    }
    if (request.bitmap) {
        asked.arguments["bitmap"] = *request.bitmap;
    }
    asked.text = fmt::format("take the snapshot {}, while its file system stands still", request.uuid->text());
    options.output->json()["uuid"] = request.uuid->text();
    return carry_out(options, device, asked);
}

/// By -d: of the disk that runs there.
DeviceState device_with_disk(const std::string& node, const std::string& verb) {
    DeviceState device = device_of_word(node);
    if (device.descriptor.empty()) {
        throw ParameterError(fmt::format("{} runs without a DiskDescriptor.xml, which {} would have to change",
                                         device.node, verb));
    }
    return device;
}

} // namespace

int run_snapshot(Options& options, const std::vector<std::string>& words) {
    SnapshotRequest request;
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
    if (!request.uuid) {
        request.uuid = Uuid::random(); // here, so that --json can tell it
    }
    std::optional<DeviceState> running;
    std::string descriptor;
    if (node.empty()) {
        descriptor = descriptor_operand(line);
        running = writer_of_disk(descriptor);
    } else if (line.operands().empty()) {
        running = device_with_disk(node, "a snapshot");
    } else {
        throw ParameterError(
            "The file of a new image is named by the DiskDescriptor.xml: leave the word behind -d out");
    }
    if (running) {
        if (sync_first && !options.dry_run) {
            sync_filesystems(*running);
        }
        return snapshot_running(options, *running, request, false);
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    Plan plan = plan_snapshot(*disk, request);
    options.output->json()["uuid"] = request.uuid->text();
    return carry_out(options, plan);
}

int run_tsnapshot(Options& options, const std::vector<std::string>& words) {
    SnapshotRequest request;
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
            mount.folder = line.value();
        }
    }
    const std::string operand = descriptor_operand(line);
    if (!request.uuid || mount.start.component.empty()) {
        throw UsageError("");
    }
    const std::optional<DeviceState> running = writer_of_disk(operand);
    if (!running) {
        throw PloopError(
            Exit::not_mounted, ErrorCode::not_found,
            fmt::format("{} is not mounted: a temporary snapshot is taken of a running disk", operand));
    }
    const int code = snapshot_running(options, *running, request, true);
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

namespace {

void demand_range(const PloopDisk& disk, const MergeRequest& request) {
    for (const std::optional<Uuid>& uuid : {request.uuid, request.range_end}) {
        if (uuid) {
            demand_snapshot(disk, *uuid);
        }
    }
}

DeviceRequest merge_request(const MergeRequest& request) {
    DeviceRequest asked{"merge", ControlMessage::object(), "merge "};
    asked.text += request.all ? "all snapshots down to the base" : "the top with its parent";
    if (request.uuid) {
        asked.arguments["uuid"] = request.uuid->text();
        asked.text = fmt::format("merge {} with its parent", request.uuid->text());
    }
    if (request.range_end) {
        asked.arguments["range_end"] = request.range_end->text();
        asked.text = fmt::format("merge all from {} to {}", request.uuid->text(), request.range_end->text());
    }
    if (request.all) {
        asked.arguments["all"] = true;
    }
    if (!request.new_file.empty()) { // the device's process has another working folder
        asked.arguments["new_file"] = absolute_path(request.new_file);
        asked.text += " into " + request.new_file;
    }
    return asked;
}

} // namespace

int run_snapshot_merge(Options& options, const std::vector<std::string>& words) {
    MergeRequest request;
    CommandLine line(options, words, "u:U:n:A");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        case 'U':
            request.range_end = parse_uuid(line.value());
            break;
        case 'n':
            request.new_file = line.value();
            break;
        default:
            request.all = true;
        }
    }
    if (request.all && (request.uuid || request.range_end)) {
        throw ParameterError("Options -u and -A can't be used together");
    }
    if (request.range_end && !request.uuid) {
        throw UsageError("Option -U is the end of a range that begins with -u: give both");
    }
    const std::string descriptor = descriptor_operand(line);
    if (const std::optional<DeviceState> running = writer_of_disk(descriptor)) {
        demand_range(*open_disk(options, descriptor, Access::read), request);
        return carry_out(options, *running, merge_request(request));
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    demand_range(*disk, request);
    Plan plan = plan_snapshot_merge(*disk, request);
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
