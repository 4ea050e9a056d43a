// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "known_devices.h"
#include "mount_table.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

std::vector<DeviceState> ploop_devices() {
    std::vector<DeviceState> devices = known_states();
    std::erase_if(devices, [](const DeviceState& device) { return device.format != "ploop"; });
    return devices;
}

} // namespace

int run_list(Options& options, const std::vector<std::string>& words) {
    bool all = false;
    CommandLine line(options, words, "a");
    while (line.next() != 0) {
        all = true;
    }
    line.operands(0);
    Output& output = *options.output;
    Json& list = output.json()["devices"] = Json::array();
    for (const DeviceState& device : ploop_devices()) {
        const std::string base = device.images.empty() ? device.disk : device.images.front().path;
        std::vector<std::string> folders;
        for (const MountPoint& point : mount_points_of(device)) {
            folders.push_back(point.path);
        }
        // A line for each mount point, so that the third word always is one.
        for (std::size_t i = 0; i < (all && !folders.empty() ? folders.size() : 1); ++i) {
            output.result(fmt::format("{:<12} {} {} {}\n", device.name(), base,
                                      all && i < folders.size() ? folders[i] : "", device.component));
        }
        list.push_back({{"device", device.name()},
                        {"image", base},
                        {"mount_point", folders.empty() ? "" : folders.front()},
                        {"mount_points", folders},
                        {"component", device.component},
                        {"descriptor", device.descriptor},
                        {"snapshot", device.snapshot},
                        {"read_only", device.read_only},
                        {"backend", device.backend},
                        {"pid", device.pid},
                        {"alive", device.alive}});
        if (!device.alive) {
            output.warn(fmt::format("The process of {} has died: \"ploop umount -d {}\" clears it away",
                                    device.node, device.node));
        }
    }
    return 0;
}

} // namespace disktool::ploop::cli
