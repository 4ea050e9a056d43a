// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/run_plan.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace disktool {

namespace {

class RunContext final : public StepContext {
  public:
    RunContext(Doors doors, CancelToken* cancel, std::uint64_t total,
               const std::function<void(std::uint64_t, std::uint64_t)>& progress)
        : doors_(doors), cancel_(cancel), total_(total), progress_(progress) {}

    Doors doors() override { return doors_; }
    CancelToken& cancel() override { return undoing_ || cancel_ == nullptr ? never_ : *cancel_; }
    void advance(std::uint64_t bytes) override {
        // A step that does more than it had planned must not eat into what the others will show.
        done_ += std::min(bytes, step_end_ - done_);
        show();
    }
    void report(const std::string& name, std::uint64_t amount) override {
        const auto known =
            std::ranges::find(result.figures, name, &std::pair<std::string, std::uint64_t>::first);
        if (known != result.figures.end()) {
            known->second += amount;
        } else {
            result.figures.emplace_back(name, amount);
        }
    }
    void warn(const std::string& sentence) override {
        // After an error there is no report that could carry it.
        if (undoing_) {
            log(LogLevel::warning, sentence);
        } else {
            result.warnings.push_back(sentence);
        }
    }
    void lend_image_to_child() override {}
    void take_image_back() override {}
    Appliance& appliance() override { none("an appliance"); }
    Workbench& workbench() override { none("a workbench"); }
    void commit_work(const WorkCommit&) override { none("a workbench"); }

    void run(Step& step) {
        step_end_ = std::min(total_, done_ + step.cost().work());
        step.commit(*this);
        done_ = step_end_;
        show();
    }
    /// From here on cancel() is a token that nobody has cancelled: undoing must run to its end.
    void begin_undo() { undoing_ = true; }

    RunReport result;

  private:
    [[noreturn]] static void none(const char* what) {
        throw std::logic_error(fmt::format("a step of a plan without a job asks for {}", what));
    }
    void show() const {
        if (progress_ && !undoing_) {
            progress_(done_, total_);
        }
    }

    Doors doors_;
    CancelToken* cancel_;
    CancelToken never_;
    const std::uint64_t total_;
    std::uint64_t done_ = 0, step_end_ = 0;
    const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
    bool undoing_ = false;
};

void undo(const std::vector<Step*>& begun, RunContext& context) {
    context.begin_undo();
    for (auto step = begun.rbegin(); step != begun.rend(); ++step) {
        if (!(*step)->needs_no_undo().empty()) {
            continue;
        }
        try {
            (*step)->undo(context);
        } catch (const Error& error) {
            context.warn(
                fmt::format("Taking back \"{}\" failed: {}. The next run that opens the disk for writing "
                            "brings it in order",
                            (*step)->text(), error.what()));
        }
    }
}

} // namespace

RunReport run_plan(Plan& plan, Doors doors, CancelToken* cancel,
                   const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
    RunContext context(doors, cancel, plan.cost().work(), progress);
    std::vector<Step*> begun;
    try {
        for (const auto& step : plan.steps()) {
            context.cancel().check();
            begun.push_back(step.get());
            context.run(*step);
        }
    } catch (...) {
        undo(begun, context);
        throw;
    }
    return std::move(context.result);
}

} // namespace disktool
