// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/merge.h"

#include "command.h"
#include "running.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace disktool::cli {

namespace {

void merge_snapshots(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write);
    run.recover(!arguments.dry_run);
    VerbContext context = run.context();
    Plan plan = plan_merge_snapshots(context);
    run.json()["image"] = image_json(session.image().info());
    const std::size_t count = session.image().info().snapshots.size();
    JobReport report;
    if (run.act(plan, report)) {
        run.say(count == 0 ? fmt::format("{} has no internal snapshots: nothing to do", arguments.image)
                           : fmt::format("{}: {} internal snapshot{} merged; the disk is as it was",
                                         arguments.image, count, count > 1 ? "s" : ""));
    }
}

void merge_chain(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write, true);
    run.recover(!arguments.dry_run);
    session.reopen_chain(true);
    VerbContext context = run.context();
    ExternalMergePlan merge = plan_merge_external(context, {arguments.force_merge_shared});
    run.json()["image"] = image_json(session.image().info());
    run.json()["direction"] = merge.direction == MergeDirection::into_top ? "into_top" : "into_base";
    run.json()["bytes_to_move"] = merge.bytes;
    run.json()["removed"] = merge.removed;
    JobReport report;
    if (!run.act(merge.plan, report)) {
        return;
    }
    run.say(merge.plan.empty()
                ? fmt::format("{} has no backing file: nothing to do", arguments.image)
                : fmt::format("{} stands alone now; {} moved in {:.1f} s", arguments.image,
                              size_text(merge.bytes), std::chrono::duration<double>(report.duration).count()));
    for (const std::string& note : merge.plan.notes()) {
        run.say("note: " + note);
    }
}

} // namespace

void run_merge(Run& run) {
    if (const auto device = running_device(run, true)) {
        return merge_on_device(run, *device);
    }
    if (run.arguments().external) {
        merge_chain(run);
    } else {
        merge_snapshots(run);
    }
}

} // namespace disktool::cli
