// SPDX-License-Identifier: LGPL-2.1-or-later
// What needs a ploop device. This build has none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop::cli {

/// Is that a command which works on devices only?
bool is_device_command(std::string_view name);
/// Throws PloopError(device_open) with what the command would need.
[[noreturn]] void refuse_device_command(std::string_view name);
/// The same for one form of a command that has others, such as `snapshot -d`.
[[noreturn]] void refuse_device_form(std::string_view form, std::string_view instead);

struct RunningDevice {
    std::string name; ///< without /dev/
    std::string base_image;
    std::string mount_point;
    std::string component;
};
std::vector<RunningDevice> running_devices();

} // namespace disktool::ploop::cli
