// SPDX-License-Identifier: LGPL-2.1-or-later
// How a device is to be: what every program of this folder takes from its configuration.
#pragma once

#include "config.h"

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::server {

enum class BackendChoice { automatic, fuse, loop };

struct DeviceOptions {
    std::optional<int> minor; ///< none: the lowest that is free
    BackendChoice backend = BackendChoice::automatic;
    unsigned threads = 0; ///< that serve guest I/O
    std::uint32_t sector_size = 512;
    std::string component;
};

/// Takes them out of `config`. Throws Error(usage).
DeviceOptions take_device_options(Config& config);

} // namespace disktool::server
