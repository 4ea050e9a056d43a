// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/job_context.h"

#include <disktool/error.h>

#include <algorithm>
#include <stdexcept>

namespace disktool {

JobContext::JobContext(Session& session, const Plan& plan, const JobOptions& options)
    : session_(session), plan_(plan), options_(options), total_(plan.cost().work()) {}

CancelToken& JobContext::cancel() {
    return undoing_ || options_.cancel == nullptr ? never_cancelled_ : *options_.cancel;
}

void JobContext::advance(std::uint64_t bytes) {
    // A step that does more than it had planned must not eat into what the others will show.
    done_ += std::min(bytes, step_end_ - done_);
    show();
}

void JobContext::report(const std::string& name, std::uint64_t amount) {
    result_.figures[name] += amount;
}

void JobContext::warn(const std::string& sentence) {
    result_.warnings.push_back(sentence);
}

void JobContext::lend_image_to_child() {
    session_.lock().release_qemu_bytes();
    lent_ = true;
}

void JobContext::take_image_back() {
    session_.lock().retake_qemu_bytes();
    lent_ = false;
}

Appliance& JobContext::appliance() {
    if (!appliance_) {
        if (!options_.appliance) {
            throw Error(ErrorCode::program_missing, "this step needs the appliance, and this run has none",
                        Reason::appliance_unavailable);
        }
        appliance_ = options_.appliance();
    }
    return *appliance_;
}

Workbench& JobContext::workbench() {
    if (!workbench_) {
        if (!plan_.work()) {
            throw std::logic_error("a step asks for a workbench, but its plan has no work");
        }
        workbench_ =
            make_workbench(doors(), session_.image(), *plan_.work(), options_.cancel, options_.appliance);
    }
    return *workbench_;
}

void JobContext::commit_work(const WorkCommit& request) {
    workbench();
    workbench_->commit(request);
    workbench_.reset();
}

void JobContext::run_step(std::size_t index) {
    Step& step = *plan_.steps()[index];
    step_ = index;
    step_text_ = step.text();
    step_end_ = done_ + step.cost().work();
    show();
    step.commit(*this);
    done_ = step_end_;
    show();
}

void JobContext::begin_undo() {
    undoing_ = true;
    workbench_.reset(); // what was not committed is abandoned
    if (lent_) {
        take_image_back();
    }
}

void JobContext::show() {
    if (options_.progress != nullptr) {
        options_.progress->update({step_text_, step_, plan_.steps().size(), done_, total_});
    }
}

} // namespace disktool
