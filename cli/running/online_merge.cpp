// SPDX-License-Identifier: LGPL-2.1-or-later
#include "carry_out.h"
#include "running_verbs.h"

#include <disktool/plan.h>

#include <fmt/format.h>

#include <memory>

namespace disktool::ploop::cli {

namespace {

class MergeAll final : public Step {
  public:
    explicit MergeAll(RunningFilesystem& filesystem) : filesystem_(filesystem) {}
    std::string kind() const override { return "ploop.merge"; }
    std::string text() const override {
        return fmt::format("merge the {} images of {} into {} (in the process of {}, while it runs)",
                           filesystem_.device.images.size(), filesystem_.name(),
                           filesystem_.device.images.front().path, filesystem_.device.node);
    }
    Details details() const override {
        return {{"images", static_cast<std::uint64_t>(filesystem_.device.images.size())}};
    }
    void commit(StepContext&) override { filesystem_.ask("merge", {{"all", true}}); }
    std::string needs_no_undo() const override {
        return "the device's process leaves the old images or the merged one, whenever it is killed";
    }

  private:
    RunningFilesystem& filesystem_;
};

} // namespace

int merge_running(const Options& options, RunningFilesystem& filesystem) {
    filesystem.refuse_read_only();
    Plan plan("merge", filesystem.name());
    if (filesystem.device.images.size() > 1) {
        plan.add(std::make_unique<MergeAll>(filesystem));
    }
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
