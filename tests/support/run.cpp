// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/run.h"

#include <disktool/doors.h>

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace disktool::test {

CommandResult result_of(std::vector<std::string> argv) {
    Command command;
    command.arguments = std::move(argv);
    return real_doors().processes.run(command);
}

std::string run_tool(std::vector<std::string> argv) {
    Command command;
    command.arguments = std::move(argv);
    CommandResult result = real_doors().processes.run(command);
    if (!result.ok())
        throw std::runtime_error(fmt::format("{}: exit status {}\n{}{}", command.text(), result.exit_status,
                                             result.output, result.errors));
    return std::move(result.output);
}

int exit_status_of(std::vector<std::string> argv) {
    return result_of(std::move(argv)).exit_status;
}

} // namespace disktool::test
