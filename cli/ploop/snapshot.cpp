// SPDX-License-Identifier: LGPL-2.1-or-later
// snapshot, snapshot-switch, snapshot-delete, snapshot-merge.
#include "command.h"
#include "device_commands.h"
#include "words.h"

namespace disktool::ploop::cli {

int run_snapshot(Options& options, const std::vector<std::string>& words) {
    SnapshotRequest request;
    CommandLine line(options, words, "Fd:u:b:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'F':
            break; // syncs a mounted file system first; an image at rest has none
        case 'd':
            refuse_device_form("snapshot -d", "a disk at rest is named by its DiskDescriptor.xml");
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        default:
            request.bitmap = parse_plain_uuid(line.value());
        }
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor_operand(line), Access::write);
    if (!request.uuid) {
        request.uuid = Uuid::random(); // here, so that --json can tell it
    }
    Plan plan = plan_snapshot(*disk, request);
    options.output->json()["uuid"] = request.uuid->text();
    return carry_out(options, plan);
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
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    demand_snapshot(*disk, *uuid);
    Plan plan = plan_snapshot_delete(*disk, *uuid);
    options.output->json()["uuid"] = uuid->text();
    return carry_out(options, plan);
}

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
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor_operand(line), Access::write);
    for (const std::optional<Uuid>& uuid : {request.uuid, request.range_end}) {
        if (uuid) {
            demand_snapshot(*disk, *uuid);
        }
    }
    Plan plan = plan_snapshot_merge(*disk, request);
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
