// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_commands.h"
#include "device_disk.h"
#include "disk_verbs.h"
#include "words.h"

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
    if (inflate) {
        refuse_device_form("resize -b", "resize -s works on a disk at rest");
    }
    if (is_block_device(operand)) {
        return resize_device(options, operand, sectors);
    }
    if (sectors == 0) {
        throw UsageError("");
    }
    return resize_disk(options, descriptor_operand(operand), sectors);
}

} // namespace disktool::ploop::cli
