// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "words.h"

namespace disktool::ploop::cli {

int run_restore_descriptor(Options& options, const std::vector<std::string>& words) {
    RestoreRequest request;
    CommandLine line(options, words, "f:b:");
    while (const char letter = line.next()) {
        if (letter == 'f') {
            request.raw = parse_format(line.value()) == DiskMode::raw;
        } else {
            request.cluster_sectors = parse_number("-b", line.value());
        }
    }
    request.folder = line.operands(2)[0];
    request.image = line.operands(2)[1];
    Plan plan = plan_restore_descriptor(real_doors(), request, say_of(options));
    options.output->json()["image"] = request.image;
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
