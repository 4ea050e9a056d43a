// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_commands.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

int run_list(Options& options, const std::vector<std::string>& words) {
    bool all = false;
    CommandLine line(options, words, "a");
    while (line.next() != 0) {
        all = true;
    }
    line.operands(0);
    Json& devices = options.output->json()["devices"] = Json::array();
    for (const RunningDevice& device : running_devices()) {
        options.output->result(fmt::format("{:<12} {} {} {}\n", device.name, device.base_image,
                                           all ? device.mount_point : "", device.component));
        devices.push_back({{"device", device.name},
                           {"image", device.base_image},
                           {"mount_point", device.mount_point},
                           {"component", device.component}});
    }
    return 0;
}

} // namespace disktool::ploop::cli
