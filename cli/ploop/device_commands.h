// SPDX-License-Identifier: LGPL-2.1-or-later
// What the original does through its kernel driver, and nobody else can.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop::cli {

/// Is that such a command?
bool is_device_command(std::string_view name);
/// Throws PloopError(device_open) with the reason.
[[noreturn]] void refuse_device_command(std::string_view name);
/// The same for one form of a command that has others, such as `snapshot -d`.
[[noreturn]] void refuse_device_form(std::string_view form, std::string_view instead);

} // namespace disktool::ploop::cli
