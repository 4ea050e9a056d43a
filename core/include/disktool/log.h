// SPDX-License-Identifier: LGPL-2.1-or-later
// What is worth telling besides results: commands that were run, decisions, warnings.
#pragma once

#include <disktool/api.h>

#include <functional>
#include <string>
#include <string_view>

namespace disktool {

enum class LogLevel { debug, info, warning };

/// Threads: any. One receiver for the program; until one is set, warnings go to standard error and the rest
/// nowhere.
DISKTOOL_API void log(LogLevel level, std::string_view line);
DISKTOOL_API void set_log_receiver(std::function<void(LogLevel, std::string_view)> receiver);

} // namespace disktool
