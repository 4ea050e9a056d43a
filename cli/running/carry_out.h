// SPDX-License-Identifier: LGPL-2.1-or-later
// A plan without a job record: of a running device, or of a disk whose format keeps its own.
#pragma once

#include "command_options.h"

#include <disktool/plan.h>

namespace disktool::ploop::cli {

/// Runs it, or with --dry-run prints it. Plan and figures go into the JSON. Gives the exit code.
int carry_out(const Options& options, Plan& plan);

} // namespace disktool::ploop::cli
