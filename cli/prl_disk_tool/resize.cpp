// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/resize.h"

#include "command.h"
#include "plan/plan_text.h"
#include "running.h"
#include "size_argument.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::cli {

void run_resize(Run& run) {
    if (const auto device = running_device(run, true)) {
        return resize_on_device(run, *device);
    }
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write);
    run.recover(!arguments.dry_run);
    VerbContext context = run.context();
    ResizePlan resize = plan_resize(
        context, {arguments.size, arguments.resize_partition, arguments.partition, arguments.discard_tail});
    run.json()["image"] = image_json(session.image().info());
    run.json()["old_size"] = resize.old_size;
    run.json()["new_size"] = resize.new_size;
    JobReport report;
    if (!run.act(resize.plan, report)) {
        return;
    }
    run.say(resize.plan.empty() ? fmt::format("{} has {} already: nothing to do", arguments.image,
                                              exact_size_text(resize.old_size))
                                : fmt::format("{}: {} -> {}", arguments.image, exact_size_text(resize.old_size),
                                              exact_size_text(resize.new_size)));
    for (const std::string& note : resize.plan.notes()) {
        run.say("note: " + note);
    }
}

void say_resize_info(const Run& run, const ResizeInfo& info) {
    if (run.arguments().json) {
        return;
    }
    const auto amount = [&](std::uint64_t bytes) { return size_in_unit(bytes, run.arguments().unit); };
    // The original's lines, tab by tab; scripts parse them.
    fmt::print("Disk information:\n");
    fmt::print("\tSize:\t\t\t\t\t\t{:>15}\n", amount(info.size));
    fmt::print("\tMinimum:\t\t\t\t\t{:>15}\n", amount(info.minimum));
    fmt::print("\tMinimum without resizing the last partition:\t{:>15}\n", amount(info.minimum_without_last));
}

void run_resize_info(Run& run) {
    if (const auto device = running_device(run, false)) {
        return resize_info_on_device(run, *device);
    }
    Session& session = run.open(Access::read);
    run.recover(false);
    VerbContext context = run.context();
    ResizeInfo info = resize_info(context);
    run.json()["image"] = image_json(session.image().info());
    run.json()["disk"] = survey_json(info.survey);
    run.json()["resize"] = resize_info_json(info);
    say_resize_info(run, info);
    if (!info.survey.blank() && info.last_is_fixed) {
        if (const Content* last = info.survey.last();
            last->problem && last->problem->code == ErrorCode::unsupported) {
            run.warn("Unsupported partition");
        }
        run.warn(
            "    Warning! The last partition cannot be resized because its file system is either not supported "
            "or damaged.");
    }
    warn_of(run, session.image().info(), info.survey);
}

} // namespace disktool::cli
