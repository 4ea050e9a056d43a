// SPDX-License-Identifier: LGPL-2.1-or-later
// What all commands that work on devices are told about how to work.
#pragma once

#include "output.h"

#include <disktool/progress.h>

#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// Of one run of the program. Refers to what main owns.
struct Options {
    std::string command;
    bool dry_run = false;                   ///< --dry-run
    std::optional<int> progress_descriptor; ///< --progress[=FD]
    std::vector<std::string> allowed;       ///< --allow: folders for image files
    Output* output = nullptr;               ///< never null while a command runs
    CancelToken* cancel = nullptr;          ///< the same
    bool show_plan = false;                 ///< before it is carried out, on standard error
};

} // namespace disktool::ploop::cli
