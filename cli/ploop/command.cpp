// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include "common/progress_display.h"
#include "core_disk.h"
#include "membership.h"
#include "plan/job.h"
#include "plan/plan_text.h"
#include "words.h"

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

std::string descriptor_operand(const std::string& word) {
    std::optional<std::string> path = descriptor_of(real_doors().files, word);
    if (!path) {
        throw UsageError(fmt::format("{} is no descriptor: give a DiskDescriptor.xml (any name that ends in "
                                     ".xml), or the folder it is in",
                                     word));
    }
    return *path;
}

std::string descriptor_operand(const CommandLine& line) {
    return descriptor_operand(line.operand());
}

Say say_of(const Options& options) {
    return [output = options.output](const std::string& line) { output->say(line); };
}

void finish_core_job(const Options& options, const std::string& descriptor) {
    FileDoor& files = real_doors().files;
    if (!options.dry_run && files.status(job_record_path(top_of(files, descriptor)), false)) {
        const CoreDisk put_right(options, descriptor, Access::write);
    }
}

std::unique_ptr<PloopDisk> open_disk(const Options& options, const std::string& descriptor, Access access) {
    DiskOptions request;
    request.access = options.dry_run ? Access::read : access;
    request.allowed = options.allowed;
    request.cancel = options.cancel;
    request.say = say_of(options);
    request.lock_base_image = request.access == Access::write;
    if (access == Access::write) {
        finish_core_job(options, descriptor);
    }
    return PloopDisk::open(real_doors(), descriptor, request);
}

void demand_snapshot(const PloopDisk& disk, const Uuid& uuid) {
    if (disk.descriptor.snapshot(uuid) == nullptr) {
        throw PloopError(
            Exit::no_snapshot, ErrorCode::not_found,
            fmt::format("Can't find snapshot by uuid {} in {}; ploop snapshot-list shows which there are",
                        uuid.text(), disk.path()));
    }
}

int carry_out(const Options& options, Plan& plan) {
    Output& output = *options.output;
    output.json()["dry_run"] = options.dry_run;
    output.json()["plan"] = plan_json(plan);
    if (options.dry_run) {
        output.result(plan_text(plan));
        return 0;
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
