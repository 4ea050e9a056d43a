// SPDX-License-Identifier: LGPL-2.1-or-later
// What the steps of a running job see of it.
#pragma once

#include "engine/workbench.h"
#include "plan/job.h"

#include <memory>
#include <string>

namespace disktool {

/// Lives for one run of one plan. Threads: the job's own.
class JobContext final : public StepContext {
  public:
    JobContext(Session& session, const Plan& plan, const JobOptions& options);

    Doors doors() override { return session_.doors(); }
    CancelToken& cancel() override;
    void advance(std::uint64_t bytes) override;
    void report(const std::string& name, std::uint64_t amount) override;
    void warn(const std::string& sentence) override;
    void lend_image_to_child() override;
    void take_image_back() override;
    Appliance& appliance() override;
    Workbench& workbench() override;
    void commit_work(const WorkCommit& request) override;

    /// Commits the plan's step of that index.
    void run_step(std::size_t index);
    /// What a failed step has lent comes back, and from here on cancel() is a token that nobody has cancelled:
    /// undoing must run to its end.
    void begin_undo();
    JobReport& result() { return result_; }

  private:
    void show();

    Session& session_;
    const Plan& plan_;
    const JobOptions& options_;
    CancelToken never_cancelled_;
    bool undoing_ = false;
    bool lent_ = false;
    std::unique_ptr<Appliance> appliance_;
    std::unique_ptr<OwnWorkbench> workbench_;
    JobReport result_;
    std::string step_text_;
    std::size_t step_ = 0;
    std::uint64_t done_ = 0;     ///< bytes of work
    std::uint64_t step_end_ = 0; ///< what done_ will be after the running step
    std::uint64_t total_;
};

} // namespace disktool
