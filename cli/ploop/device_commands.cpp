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
    std::string_view effect; ///< what it would do to a device
};

constexpr std::array device_commands = {
    DeviceCommand{"mount", "attach the image to one"},
    DeviceCommand{"umount", "take the image off one"},
    DeviceCommand{"start", "start one"},
    DeviceCommand{"stop", "stop one"},
    DeviceCommand{"clear", "clear one"},
    DeviceCommand{"delete", "remove an image from a running one"},
    DeviceCommand{"rm", "remove an image from a running one"},
    DeviceCommand{"stat", "show the counters of one"},
    DeviceCommand{"getdev", "find a free one"},
    DeviceCommand{"tsnapshot", "make a temporary snapshot on a running one"},
    DeviceCommand{"encrypt", "encrypt through one"},
};

[[noreturn]] void refuse(const std::string& sentence) {
    throw PloopError(Exit::device_open, ErrorCode::unsupported, sentence, Reason::capability_missing);
}

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
    refuse(fmt::format("ploop {}: this build has no ploop devices yet, so it cannot {}; nothing was changed",
                       name, find(name)->effect));
}

void refuse_device_form(std::string_view form, std::string_view instead) {
    refuse(fmt::format("ploop {} needs a running ploop device, and this build has no ploop devices yet; {}",
                       form, instead));
}

std::vector<RunningDevice> running_devices() {
    return {};
}

} // namespace disktool::ploop::cli
