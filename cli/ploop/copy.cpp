// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_commands.h"
#include "words.h"

#include <fmt/format.h>
#include <unistd.h>

namespace disktool::ploop::cli {

int run_copy(Options& options, const std::vector<std::string>& words) {
    std::string device;
    std::string file;
    int input = STDIN_FILENO;
    std::optional<int> feedback;
    CommandLine line(options, words, "F:s:d:o:i:f:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 's':
            device = line.value();
            break;
        case 'd':
            file = line.value();
            break;
        case 'i':
            input = parse_file_number("-i", line.value());
            break;
        case 'f':
            feedback = parse_file_number("-f", line.value());
            break;
        case 'o':
            parse_file_number("-o", line.value());
            break;
        default:
            break; // -F, the sender's command
        }
    }
    line.operands(0);
    if (!device.empty()) {
        throw PloopError(
            Exit::device_open, ErrorCode::unsupported,
            fmt::format(
                "ploop copy -s: sending needs a running ploop device with a mounted file system and a write "
                "tracker on it; {} cannot be one, as this build has no ploop devices yet. To copy a disk at "
                "rest, copy its folder",
                device),
            Reason::capability_missing);
    }
    if (file.empty()) {
        throw UsageError("Either -s or -d is required");
    }
    options.output->json()["file"] = file;
    options.output->json()["dry_run"] = options.dry_run;
    if (options.dry_run) {
        options.output->result(
            fmt::format("1. receive an image from file descriptor {} into {}\n", input, file));
        return 0;
    }
    receive_copy(real_doors(), file, input, feedback, options.cancel);
    return 0;
}

} // namespace disktool::ploop::cli
