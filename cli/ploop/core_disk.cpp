// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core_disk.h"

#include "common/progress_display.h"
#include "descriptor.h"
#include "engine/appliance_loader.h"
#include "plan/plan_text.h"

#include <fmt/format.h>

#include <chrono>

namespace disktool::ploop::cli {

CoreDisk::CoreDisk(const Options& options, const std::string& path, Access access, Kind kind)
    : options_(options), kind_(kind), config_(load_config()),
      registry_(plugin_search_path(config_.plugin_path)) {
    OpenOptions request;
    request.access = options.dry_run ? Access::read : access;
    request.wait = std::chrono::seconds(60);
    request.allow_backing = options.allowed;
    request.cancel = options.cancel;
    if (kind == Kind::block_device) {
        request.block_device = true;
        request.format = "ploop";
        session_ = Session::open(real_doors(), registry_, path, request);
        return;
    }
    const Descriptor descriptor = Descriptor::load(real_doors().files, path);
    raw_ = descriptor.image(descriptor.top)->raw;
    session_ = Session::open(real_doors(), registry_, path, request);
    if (const auto found =
            recover_job(*session_, {.cancel = options.cancel}, access == Access::write && !options.dry_run)) {
        options.output->warn(*found);
    }
}

void CoreDisk::mend() {
    Plan plan("resize", session_->path());
    session_->image().plan_mend(plan);
    JobOptions job;
    job.cancel = options_.cancel;
    run_job(*session_, plan, job);
    options_.output->say(fmt::format("{} was left in use, and is closed now", session_->path()));
}

VerbContext CoreDisk::context() {
    return {*session_, config_.engine, options_.cancel, [this] { return load_appliance(config_.appliance); }};
}

JobReport CoreDisk::carry_out(Plan& plan) {
    Output& output = *options_.output;
    output.json()["dry_run"] = options_.dry_run;
    output.json()["plan"] = plan_json(plan);
    if (options_.dry_run) {
        output.result(plan_text(plan));
        return {};
    }
    disktool::cli::ProgressDisplay progress(
        {.quiet = output.silent(), .json_descriptor = options_.progress_descriptor.value_or(-1)});
    JobOptions job;
    job.progress = &progress;
    job.cancel = options_.cancel;
    job.record = kind_ == Kind::descriptor;
    job.appliance = [this] { return load_appliance(config_.appliance); };
    JobReport report = run_job(*session_, plan, job);
    for (const std::string& note : plan.notes()) {
        output.say("note: " + note);
    }
    for (const std::string& warning : report.warnings) {
        output.warn(warning);
    }
    output.json()["figures"] = report.figures;
    return report;
}

PloopError in_words_of_resize(const Error& error) {
    const auto* of_system = dynamic_cast<const SystemError*>(&error);
    const int own = exit_code_of(error);
    if ((of_system != nullptr && of_system->call() != SystemCall::other) ||
        own == static_cast<int>(Exit::change_table)) {
        return {static_cast<Exit>(own), error.code(), error.what(), error.reason()};
    }
    switch (error.code()) {
    case ErrorCode::size_impossible:
    case ErrorCode::unsupported:
        return {Exit::invalid_parameter, error.code(), error.what(), error.reason()};
    case ErrorCode::damaged:
        return {Exit::fsck, error.code(), error.what(), error.reason()};
    case ErrorCode::program_missing:
    case ErrorCode::failure:
        return {Exit::resize_filesystem, error.code(), error.what(), error.reason()};
    default:
        return {static_cast<Exit>(own), error.code(), error.what(), error.reason()};
    }
}

} // namespace disktool::ploop::cli
