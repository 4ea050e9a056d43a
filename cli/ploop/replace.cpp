// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_commands.h"
#include "words.h"

namespace disktool::ploop::cli {

int run_replace(Options& options, const std::vector<std::string>& words) {
    ReplaceRequest request;
    CommandLine line(options, words, "d:m:l:i:u:o:k", {{"keep-name", false, 'k'}});
    while (const char letter = line.next()) {
        switch (letter) {
        case 'd':
        case 'm':
            refuse_device_form("replace -d and -m", "a disk at rest is named by its DiskDescriptor.xml");
        case 'l':
            request.level = parse_number("-l", line.value());
            break;
        case 'i':
            request.new_file = line.value();
            break;
        case 'u':
            request.uuid = parse_uuid(line.value());
            break;
        case 'o':
            request.current_file = line.value();
            break;
        default:
            request.keep_name = true;
        }
    }
    const std::string descriptor = descriptor_operand(line);
    if (request.new_file.empty() ||
        request.level.has_value() + request.uuid.has_value() + !request.current_file.empty() != 1) {
        throw UsageError("");
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    if (request.uuid) {
        demand_snapshot(*disk, *request.uuid);
    }
    Plan plan = plan_replace(*disk, request);
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
