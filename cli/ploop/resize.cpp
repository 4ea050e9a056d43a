// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_disk.h"
#include "disk_verbs.h"
#include "known_devices.h"
#include "online_verbs.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

int run_resize(Options& options, const std::vector<std::string>& words) {
    std::uint64_t sectors = 0;
    bool inflate = false;
    CommandLine line(options, words, "s:b");
    while (const char letter = line.next()) {
        if (letter == 's') {
            sectors = parse_size("-s", line.value());
        } else {
            inflate = true;
        }
    }
    const std::string& operand = line.operand();
    if (inflate && sectors != 0) {
        throw UsageError("");
    }
    if (is_block_device(operand) && !known_device(operand)) {
        if (inflate) {
            throw ParameterError(fmt::format("{} is no ploop device: -b inflates the balloon of one", operand));
        }
        return resize_device(options, operand, sectors);
    }
    const std::string descriptor = is_block_device(operand) ? "" : descriptor_operand(operand);
    if (!inflate && sectors == 0) {
        throw UsageError(fmt::format("resize: the new size of {} is missing: give it with -s SIZE", operand));
    }
    if (descriptor.empty()) {
        RunningFilesystem running = filesystem_of_device(options, operand);
        return inflate ? inflate_running(options, running) : resize_running(options, running, sectors);
    }
    if (auto running = filesystem_of_descriptor(options, descriptor)) {
        return inflate ? inflate_running(options, *running) : resize_running(options, *running, sectors);
    }
    if (inflate) {
        demand_known_devices();
        throw ParameterError("The image is not mounted: -b inflates the balloon of a mounted one");
    }
    return resize_disk(options, descriptor, sectors);
}

} // namespace disktool::ploop::cli
