// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "copy_sender.h"
#include "words.h"

#include <fmt/format.h>
#include <unistd.h>

namespace disktool::ploop::cli {

int run_copy(Options& options, const std::vector<std::string>& words) {
    CopySend sending;
    int input = STDIN_FILENO;
    CommandLine line(options, words, "F:s:d:o:i:f:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 's':
            sending.device = line.value();
            break;
        case 'd':
            sending.file = line.value();
            break;
        case 'i':
            input = parse_file_number("-i", line.value());
            break;
        case 'f':
            sending.feedback = parse_file_number("-f", line.value());
            break;
        case 'o':
            sending.output = parse_file_number("-o", line.value());
            break;
        default:
            sending.stop_command = line.value();
        }
    }
    line.operands(0);
    if (!sending.device.empty()) {
        return send_device(options, sending);
    }
    const std::string& file = sending.file;
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
    receive_copy(real_doors(), file, input, sending.feedback, options.cancel);
    return 0;
}

} // namespace disktool::ploop::cli
