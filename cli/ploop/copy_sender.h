// SPDX-License-Identifier: LGPL-2.1-or-later
// `ploop copy -s`: the top image of a running device, sent while it is in use.
#pragma once

#include "options.h"

#include <optional>
#include <string>

namespace disktool::ploop::cli {

struct CopySend {
    std::string device;          ///< -s
    std::string stop_command;    ///< -F; empty: none
    std::string file;            ///< -d; empty: to the descriptor
    int output = 1;              ///< -o
    std::optional<int> feedback; ///< -f
};
/// Gives the exit code; throws Error.
int send_device(const Options& options, const CopySend& request);

} // namespace disktool::ploop::cli
