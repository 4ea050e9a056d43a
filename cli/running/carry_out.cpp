// SPDX-License-Identifier: LGPL-2.1-or-later
#include "carry_out.h"

#include "common/progress_display.h"
#include "plan/plan_text.h"
#include "plan/run_plan.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

namespace {

RunReport run_with_progress(const Options& options, Plan& plan) {
    disktool::cli::ProgressDisplay display(
        {.quiet = options.output->silent(), .json_descriptor = options.progress_descriptor.value_or(-1)});
    const auto show = [&](std::uint64_t done, std::uint64_t total) {
        display.update(
            {.step = plan.verb(), .index = 0, .steps = plan.steps().size(), .done = done, .total = total});
    };
    try {
        RunReport report = run_plan(plan, real_doors(), options.cancel, show);
        display.finished(true);
        return report;
    } catch (...) {
        display.finished(false);
        throw;
    }
}

} // namespace

int carry_out(const Options& options, Plan& plan) {
    Output& output = *options.output;
    output.json()["dry_run"] = options.dry_run;
    output.json()["plan"] = plan_json(plan);
    if (options.dry_run) {
        output.result(plan_text(plan));
        return 0;
    }
    if (options.show_plan) {
        print(stderr, plan_text(plan));
    }
    const RunReport report = run_with_progress(options, plan);
    for (const std::string& warning : report.warnings) {
        output.warn(warning);
    }
    Json& figures = output.json()["figures"] = Json::object();
    for (const auto& [name, amount] : report.figures) {
        figures[name] = amount;
    }
    return 0;
}

} // namespace disktool::ploop::cli
