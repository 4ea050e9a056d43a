// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_commands.h"

#include "ploop_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

struct DeviceCommand {
    std::string_view name;
    std::string_view why;
};

constexpr std::array device_commands = {
    DeviceCommand{"encrypt", "encryption is done by the original's driver, with a key that is not here"},
};

const DeviceCommand* find(std::string_view name) {
    const auto* it = std::find_if(device_commands.begin(), device_commands.end(),
                                  [&](const DeviceCommand& command) { return command.name == name; });
    return it == device_commands.end() ? nullptr : it;
}

} // namespace

bool is_device_command(std::string_view name) {
    return find(name) != nullptr;
}

void refuse_device_command(std::string_view name) {
    throw PloopError(Exit::device_open, ErrorCode::unsupported,
                     fmt::format("ploop {}: {}; nothing was changed", name, find(name)->why),
                     Reason::capability_missing);
}

} // namespace disktool::ploop::cli
