// SPDX-License-Identifier: LGPL-2.1-or-later
#include "known_devices.h"

#include "errors.h"

#include <fmt/format.h>

#include <cerrno>

namespace disktool::ploop::cli {

void as_root_only(const std::function<void()>& work) {
    try {
        work();
    } catch (const SystemError& error) {
        if (error.error_number() != EACCES) {
            throw;
        }
        throw PloopError(Exit::device_open, error.code(),
                         fmt::format("{}: devices are root's, and only root can see which run. Run it as root",
                                     error.what()));
    }
}

std::vector<DeviceState> known_states() {
    std::vector<DeviceState> states;
    as_root_only([&] { states = device_states(); });
    return states;
}

std::optional<DeviceState> known_device(const std::string& node) {
    std::optional<DeviceState> device;
    as_root_only([&] { device = device_of_node(node); });
    return device;
}

void demand_known_devices() {
    (void)known_states();
}

} // namespace disktool::ploop::cli
