// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/compact.h"

#include "command.h"
#include "plan/plan_text.h"
#include "running.h"

#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::cli {

namespace {

/// The unit of the original's figures: the file system block of its appliance.
constexpr std::uint64_t block = 4 * KiB;
constexpr std::uint64_t sector = 512;

} // namespace

void run_compact(Run& run) {
    if (const auto device = running_device(run, true)) {
        return compact_on_device(run, *device);
    }
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write);
    run.recover(!arguments.dry_run);
    VerbContext context = run.context();
    CompactPlan compact = plan_compact(context);
    run.json()["image"] = image_json(session.image().info());
    if (compact.estimate) {
        run.json()["estimate"] = estimate_json(*compact.estimate);
    }
    JobReport report;
    if (!run.act(compact.plan, report)) {
        return;
    }
    std::uint64_t after = session.file().status().allocated;
    std::uint64_t freed = compact.allocated > after ? compact.allocated - after : 0;
    Json& result = run.json()["result"];
    result["allocated_before"] = compact.allocated;
    result["allocated_after"] = after;
    result["freed"] = freed;
    run.say(compact.plan.empty()
                ? fmt::format("{}: nothing to give back; it holds {} on the host", arguments.image,
                              size_text(after))
                : fmt::format("{}: {} given back to the host ({} -> {}) in {:.1f} s", arguments.image,
                              size_text(freed), size_text(compact.allocated), size_text(after),
                              std::chrono::duration<double>(report.duration).count()));
    for (const std::string& note : compact.plan.notes()) {
        run.say("note: " + note);
    }
}

void say_compact_info(const Run& run, const CompactInfo& info) {
    if (run.arguments().json) {
        return;
    }
    // The original's lines and columns; scripts parse them.
    const auto line = [](const char* label, std::uint64_t value) {
        fmt::print("        {:<18}{:>15}\n", label, value);
    };
    line("Block size:", block / sector);
    line("Total blocks:", info.size / block);
    line("Allocated blocks:", info.allocated / block);
    line("Used blocks:", divide_up(info.used, block));
    if (info.estimate) {
        line("Can be freed:", info.estimate->reclaimable / block);
    }
}

void run_compact_info(Run& run) {
    if (const auto device = running_device(run, false)) {
        return compact_info_on_device(run, *device);
    }
    Session& session = run.open(Access::read);
    run.recover(false);
    VerbContext context = run.context();
    CompactInfo info = compact_info(context);
    run.json()["image"] = image_json(session.image().info());
    run.json()["disk"] = survey_json(info.survey);
    run.json()["compact"] = compact_info_json(info);
    say_compact_info(run, info);
    warn_of(run, session.image().info(), info.survey);
    if (!info.why_no_estimate.empty()) {
        run.warn(info.why_no_estimate);
    }
}

} // namespace disktool::cli
