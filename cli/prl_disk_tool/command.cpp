// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include "common/progress_display.h"
#include "engine/appliance_loader.h"
#include "plan/plan_text.h"

#include <fmt/format.h>

#include <cstdio>

namespace disktool::cli {

Run::Run(const Arguments& arguments, const Config& config, Registry& registry, CancelToken& cancel)
    : arguments_(arguments), config_(config), registry_(registry), cancel_(cancel) {
    json_["verb"] = arguments.verb;
}

std::optional<std::chrono::seconds> Run::patience() const {
    return arguments_.wait ? arguments_.wait : config_.wait;
}

Session& Run::open(Access access, bool whole_chain) {
    OpenOptions options;
    options.access = access;
    options.wait = patience();
    options.allow_backing = config_.allow_backing;
    options.allow_backing.insert(options.allow_backing.end(), arguments_.allow_backing.begin(),
                                 arguments_.allow_backing.end());
    options.cancel = &cancel_;
    options.whole_chain = whole_chain;
    session_ = Session::open(real_doors(), registry_, arguments_.image, options);
    if (session_->lock().writer_present()) {
        warn(fmt::format("{} is in use by {}: the figures are those of a moment and may be inaccurate",
                         arguments_.image, holders_text(session_->lock().writers())));
    }
    return *session_;
}

VerbContext Run::context() {
    Engine engine = arguments_.engine.value_or(config_.engine);
    return {*session_, engine, &cancel_, [this] { return make_appliance(); }};
}

std::unique_ptr<Appliance> Run::make_appliance() const {
    return load_appliance(config_.appliance);
}

void Run::recover(bool act) {
    JobOptions options;
    options.cancel = &cancel_;
    std::optional<std::string> found = recover_job(*session_, options, act);
    if (!found) {
        return;
    }
    json_["interrupted_job"] = *found;
    warn(*found);
}

JobReport Run::carry_out(Plan& plan) {
    ProgressDisplay progress({.quiet = arguments_.quiet || arguments_.json,
                              .verbose = arguments_.verbose,
                              .json_descriptor = arguments_.progress_descriptor.value_or(-1)});
    JobOptions options;
    options.progress = &progress;
    options.cancel = &cancel_;
    options.appliance = [this] { return make_appliance(); };
    if (arguments_.verbose) {
        std::fputs(plan_text(plan).c_str(), stderr);
    }
    JobReport report = run_job(*session_, plan, options);
    for (const std::string& warning : report.warnings) {
        warn(warning);
    }
    return report;
}

bool Run::act(Plan& plan, JobReport& report) {
    if (arguments_.dry_run) {
        print_plan(*this, plan);
        return false;
    }
    json_["plan"] = plan_json(plan);
    report = carry_out(plan);
    json_["result"] = {
        {"changed", !plan.empty()}, {"milliseconds", report.duration.count()}, {"figures", report.figures}};
    return true;
}

void Run::warn(const std::string& sentence) {
    warnings_.push_back(sentence);
    if (!arguments_.quiet) {
        fmt::print(stderr, "{}\n", sentence);
    }
}

void Run::say(const std::string& line) const {
    if (!arguments_.json && !arguments_.quiet) {
        fmt::print("{}\n", line);
    }
}

void Run::finish() {
    if (arguments_.json) {
        json_["warnings"] = warnings_;
        fmt::print("{}\n", json_.dump(2, ' ', false, Json::error_handler_t::replace));
    }
}

void warn_of(Run& run, const ImageInfo& image, const DiskSurvey& survey) {
    if (image.corrupt) {
        run.warn(
            fmt::format("{} is marked corrupt: the figures cannot be relied on; see what qemu-img check finds",
                        image.path));
    }
    if (image.dirty) {
        run.warn(
            fmt::format("{} is marked dirty: it was not closed in order, so its reference counts may be off; "
                        "qemu-img check -r all mends them",
                        image.path));
    }
    if (survey.blank()) {
        run.warn("No partitions found");
    }
    for (const std::string& warning : survey.table.warnings) {
        run.warn(warning);
    }
    if (survey.dirty()) {
        run.warn("Filesystem is dirty. The estimates may be inaccurate");
    }
    for (const Content& content : survey.contents) {
        if (content.problem) {
            run.warn(content.problem->sentence);
        }
    }
}

void print_plan(Run& run, const Plan& plan) {
    run.json()["dry_run"] = true;
    run.json()["plan"] = plan_json(plan);
    if (!run.arguments().json) {
        fmt::print("{}", plan_text(plan));
    }
}

} // namespace disktool::cli
