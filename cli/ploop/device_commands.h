// SPDX-License-Identifier: LGPL-2.1-or-later
// What the original does through its kernel driver, and nobody else can.
#pragma once

#include <string_view>

namespace disktool::ploop::cli {

/// Is that such a command?
bool is_device_command(std::string_view name);
/// Throws PloopError(device_open) with the reason.
[[noreturn]] void refuse_device_command(std::string_view name);

} // namespace disktool::ploop::cli
