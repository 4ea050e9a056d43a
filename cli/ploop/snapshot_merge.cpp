// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "merge_request.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

void demand_range(const PloopDisk& disk, const MergeRequest& request) {
    for (const std::optional<Uuid>& uuid : {request.uuid, request.range_end}) {
        if (uuid) {
            demand_snapshot(disk, *uuid);
        }
    }
}

} // namespace

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
