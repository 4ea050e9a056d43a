// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/convert.h"

#include "command.h"
#include "running.h"

#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::cli {

namespace {

const char* mode_text(Allocation allocation) {
    return allocation == Allocation::plain ? "plain" : "expanding";
}

void convert_mode(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::write);
    run.recover(!arguments.dry_run);
    VerbContext context = run.context();
    Plan plan = arguments.plain ? plan_convert_to_plain(context) : plan_convert_to_expanding(context);
    run.json()["image"] = image_json(session.image().info());
    const std::uint64_t before = session.file().status().allocated;
    JobReport report;
    if (!run.act(plan, report)) {
        return;
    }
    const std::uint64_t after = session.file().status().allocated;
    run.json()["result"]["allocated_before"] = before;
    run.json()["result"]["allocated_after"] = after;
    run.say(plan.empty()
                ? fmt::format("{} is {} already: nothing to do", arguments.image,
                              arguments.plain ? "plain" : "expanding")
                : fmt::format("{} is {} now: {} -> {} on the host in {:.1f} s", arguments.image,
                              arguments.plain ? "plain" : "expanding", size_text(before), size_text(after),
                              std::chrono::duration<double>(report.duration).count()));
}

void convert_format(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::read);
    run.recover(false);
    VerbContext context = run.context();
    Plan plan = plan_convert_format(context, {arguments.format, arguments.output, arguments.verify});
    run.json()["image"] = image_json(session.image().info());
    JobReport report;
    if (!run.act(plan, report)) {
        return;
    }
    run.json()["output"] = arguments.output;
    run.say(fmt::format("{} holds the disk of {} in the format {}; written in {:.1f} s{}", arguments.output,
                        arguments.image, arguments.format,
                        std::chrono::duration<double>(report.duration).count(),
                        arguments.verify ? ", read again and compared" : ""));
    for (const std::string& note : plan.notes()) {
        run.say("note: " + note);
    }
}

} // namespace

void run_convert(Run& run) {
    if (const auto device = running_device(run, true)) {
        refuse_on_device(run, *device);
    }
    if (run.arguments().format.empty()) {
        convert_mode(run);
    } else {
        convert_format(run);
    }
}

void run_convert_info(Run& run) {
    Session& session = run.open(Access::read);
    run.recover(false);
    const ImageInfo& info = session.image().info();
    const Allocation allocation = session.image().allocation();
    run.json()["image"] = image_json(info);
    run.json()["allocation"] = mode_text(allocation);
    run.say(fmt::format("{}: {} ({} of {} held on the host)", run.arguments().image, mode_text(allocation),
                        size_text(info.allocated), size_text(info.virtual_size)));
}

} // namespace disktool::cli
