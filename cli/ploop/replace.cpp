// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

struct ReplaceWords {
    ReplaceRequest request;
    std::string node, folder; ///< -d, -m
    std::vector<std::string> operands;
};

ReplaceWords parse(Options& options, const std::vector<std::string>& words) {
    ReplaceWords parsed;
    CommandLine line(options, words, "d:m:l:i:u:o:k", {{"keep-name", false, 'k'}});
    while (const char letter = line.next()) {
        switch (letter) {
        case 'd':
            parsed.node = parse_name("-d", "the device", line.value());
            break;
        case 'm':
            parsed.folder = parse_name("-m", "where it is mounted", line.value());
            break;
        case 'l':
            parsed.request.level = parse_number("-l", line.value());
            break;
        case 'i':
            parsed.request.new_file = line.value();
            break;
        case 'u':
            parsed.request.uuid = parse_uuid(line.value());
            break;
        case 'o':
            parsed.request.current_file = line.value();
            break;
        default:
            parsed.request.keep_name = true;
        }
    }
    parsed.operands = line.operands(parsed.node.empty() && parsed.folder.empty() ? 1 : 0);
    const bool by_uuid = parsed.request.uuid.has_value();
    const bool by_file = !parsed.request.current_file.empty();
    if (parsed.request.new_file.empty() || parsed.request.level.has_value() + by_uuid + by_file != 1 ||
        (!parsed.node.empty() && !parsed.folder.empty())) {
        throw UsageError("");
    }
    return parsed;
}

int replace_running(const Options& options, const DeviceState& device, const ReplaceWords& words) {
    const ReplaceRequest& request = words.request;
    const std::string new_file = absolute_path(request.new_file);
    if (!real_doors().files.status(new_file)) {
        throw ParameterError(
            fmt::format("{} does not exist: -i names the file that is to take the place", new_file));
    }
    DeviceRequest asked{"replace", {{"new_file", new_file}}, {}};
    std::string which;
    if (request.uuid) {
        asked.arguments["uuid"] = which = request.uuid->text();
    } else if (request.level) {
        asked.arguments["level"] = *request.level;
        which = fmt::format("of level {}", *request.level);
    } else {
        asked.arguments["current_file"] = which = absolute_path(request.current_file);
    }
    if (request.keep_name) {
        asked.arguments["keep_name"] = true;
    }
    asked.text = fmt::format("put {} in the place of the image {}{}", new_file, which,
                             request.keep_name ? ", under its name" : "");
    return carry_out(options, device, asked);
}

/// Named by -d or -m.
DeviceState device_named(const ReplaceWords& words) {
    if (!words.node.empty()) {
        return device_of_word(words.node);
    }
    if (std::optional<DeviceState> device = device_at(words.folder)) {
        return *device;
    }
    throw ParameterError(fmt::format("No ploop device is mounted at {}", words.folder));
}

} // namespace

int run_replace(Options& options, const std::vector<std::string>& words) {
    const ReplaceWords parsed = parse(options, words);
    if (parsed.operands.empty()) {
        return replace_running(options, device_named(parsed), parsed);
    }
    const std::string descriptor = descriptor_operand(parsed.operands.front());
    if (const std::optional<DeviceState> running = writer_of_disk(descriptor)) {
        if (parsed.request.uuid) {
            demand_snapshot(*open_disk(options, descriptor, Access::read), *parsed.request.uuid);
        }
        return replace_running(options, *running, parsed);
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    if (parsed.request.uuid) {
        demand_snapshot(*disk, *parsed.request.uuid);
    }
    Plan plan = plan_replace(*disk, parsed.request);
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
