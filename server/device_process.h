// SPDX-License-Identifier: LGPL-2.1-or-later
// The life of a device's process, whatever image it is for: words, configuration, daemon, device, control
// socket, end.
#pragma once

#include "config.h"
#include "device_source.h"

#include <disktool/error.h>

#include <functional>
#include <memory>
#include <string>

namespace disktool::server {

struct DeviceProgram {
    std::string name; ///< for the log
    /// Takes its values out of the configuration, then calls its finish(), then opens the image. `say`: lines
    /// for the user.
    std::function<std::unique_ptr<DeviceSource>(Config& config,
                                                const std::function<void(const std::string&)>& say)>
        open;
    std::function<int(const Error&)> exit_of; ///< the exit code for the one who asks
};

/// main() of such a program.
int run_device_process(int count, char** words, const DeviceProgram& program);

} // namespace disktool::server
