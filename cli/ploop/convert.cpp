// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "running_devices.h"
#include "words.h"

namespace disktool::ploop::cli {

int run_convert(Options& options, const std::vector<std::string>& words) {
    std::optional<DiskMode> mode;
    std::optional<Version> version;
    CommandLine line(options, words, "f:v:");
    while (const char letter = line.next()) {
        if (letter == 'f') {
            mode = parse_format(line.value());
        } else {
            version = parse_version(line.value());
        }
    }
    if (mode.has_value() == version.has_value()) {
        throw UsageError("");
    }
    const std::string descriptor = descriptor_operand(line);
    refuse_while_running(descriptor, Exit::invalid_parameter, "convert");
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor, Access::write);
    Plan plan = mode ? plan_convert_mode(*disk, *mode) : plan_convert_version(*disk, *version);
    const int code = carry_out(options, plan);
    if (code == 0 && !options.dry_run) {
        options.output->say("ploop image has been successfully converted");
    }
    return code;
}

} // namespace disktool::ploop::cli
