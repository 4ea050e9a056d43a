// SPDX-License-Identifier: LGPL-2.1-or-later
// Running the steps of a plan without a job: no record, no workbench. For disks whose format keeps what a
// killed run needs (the descriptor of a ploop disk), and for devices that run.
#pragma once

#include <disktool/api.h>
#include <disktool/plan.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace disktool {

struct RunReport {
    std::vector<std::string> warnings;
    std::vector<std::pair<std::string, std::uint64_t>> figures;
};

/// Runs the steps in order; on an error undoes those begun, last first, and throws on.
DISKTOOL_API RunReport run_plan(Plan& plan, Doors doors, CancelToken* cancel,
                                const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

} // namespace disktool
