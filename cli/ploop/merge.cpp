// SPDX-License-Identifier: LGPL-2.1-or-later
// The low-level form: image files by their names, no descriptor.
#include "command.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

int run_merge(Options& options, const std::vector<std::string>& words) {
    std::string new_file;
    bool raw_base = false;
    CommandLine line(options, words, "f:d:l:n:u:A");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'f':
            raw_base = parse_format(line.value()) == DiskMode::raw;
            break;
        case 'd':
        case 'l':
            throw PloopError(
                Exit::device_ioctl, ErrorCode::unsupported,
                "Images of a running device are not merged by level: use ploop snapshot-merge with its "
                "DiskDescriptor.xml, which works while it runs",
                Reason::capability_missing);
        case 'n':
            new_file = line.value();
            break;
        default:
            throw UsageError(fmt::format(
                "Option -{} is of ploop snapshot-merge, which works on a DiskDescriptor.xml", letter));
        }
    }
    const std::vector<std::string>& deltas = line.operands();
    for (const std::string& delta : deltas) {
        if (ends_in_xml(delta)) {
            throw ParameterError(fmt::format(
                "{}: ploop merge takes image files; for a DiskDescriptor.xml there is ploop snapshot-merge",
                delta));
        }
    }
    if (deltas.size() < 2) {
        throw UsageError("");
    }
    for (const std::string& delta : deltas) {
        refuse_running_image(delta, Exit::dirty);
    }
    Plan plan = plan_merge_files(real_doors(), deltas, new_file, raw_base, say_of(options));
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
