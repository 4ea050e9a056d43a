// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/work_steps.h"

#include <disktool/appliance.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <functional>
#include <utility>

namespace disktool {

namespace {

constexpr const char* only_the_working_state =
    "only a working state of the disk is changed, which nobody sees before it becomes the image's own";

class TableStep : public Step {
  public:
    TableStep(std::vector<Patch> patches, std::string what)
        : patches_(std::move(patches)), what_(std::move(what)) {}

    std::string kind() const override { return "table.write"; }
    std::string text() const override { return "rewrite the partition table: " + what_; }
    Cost cost() const override {
        Cost cost;
        for (const Patch& patch : patches_) {
            cost.written += patch.data.size();
        }
        return cost;
    }
    std::string needs_no_undo() const override { return only_the_working_state; }
    void commit(StepContext& context) override {
        WorkingDisk& disk = context.workbench().disk();
        for (const Patch& patch : patches_) {
            disk.write(patch.offset, patch.data);
        }
    }

  private:
    std::vector<Patch> patches_;
    std::string what_;
};

class VerifyStep : public Step {
  public:
    VerifyStep(Registry& registry, ExpectedState expected)
        : registry_(registry), expected_(std::move(expected)) {}

    std::string kind() const override { return "work.verify"; }
    std::string text() const override {
        return fmt::format("read the new state anew: the table, and the {} in it", expected_.type);
    }
    std::string needs_no_undo() const override { return "it only reads"; }
    void commit(StepContext& context) override {
        Window disk(context.workbench().disk(), {0, expected_.disk_size}, "the new disk");
        const DiskSurvey survey = survey_disk(disk, registry_, {});
        const Content* found = nullptr;
        for (const Content& content : survey.contents) {
            if (content.partition == expected_.partition) {
                found = &content;
            }
        }
        if (found == nullptr || found->range.offset != expected_.range.offset ||
            found->range.length != expected_.range.length) {
            fail("the partition table does not tell of the new size");
        }
        if (found->type != expected_.type) {
            fail(fmt::format("{} instead of {} is found there", found->type.empty() ? "nothing" : found->type,
                             expected_.type));
        }
        // A file system that its own tool leaves marked for a check (NTFS) tells its size all the same.
        if (!found->usage) {
            fail(found->problem ? found->problem->sentence : "its size cannot be read");
        }
        if (found->usage->size > expected_.range.length) {
            fail(fmt::format("the {} spans {}, more than its {}", found->type,
                             exact_size_text(found->usage->size), exact_size_text(expected_.range.length)));
        }
    }

  private:
    [[noreturn]] static void fail(const std::string& what) {
        throw Error(
            ErrorCode::failure,
            fmt::format("The new state of the disk is not as it should be, so it is thrown away and the "
                        "image stays as it was: {}",
                        what));
    }

    Registry& registry_;
    ExpectedState expected_;
};

class CommitStep : public Step {
  public:
    CommitStep(WorkCommit request, std::string what) : request_(request), what_(std::move(what)) {}

    std::string kind() const override { return "work.commit"; }
    std::string text() const override { return "switch the image to its new state: " + what_; }
    std::string needs_no_undo() const override {
        return "the switch is one write of one sector: done or not done";
    }
    void commit(StepContext& context) override {
        context.cancel().check();
        context.report("bytes_taken_meanwhile", context.workbench().disk().space_taken());
        context.commit_work(request_);
    }

  private:
    WorkCommit request_;
    std::string what_;
};

class ApplianceStep : public Step {
  public:
    ApplianceStep(std::string kind, std::string text, Cost cost, std::function<void(Appliance&)> act)
        : kind_(std::move(kind)), text_(std::move(text)), cost_(cost), act_(std::move(act)) {}

    std::string kind() const override { return kind_; }
    std::string text() const override { return text_; }
    std::string engine() const override { return "appliance"; }
    Cost cost() const override { return cost_; }
    std::string needs_no_undo() const override { return only_the_working_state; }
    void commit(StepContext& context) override {
        context.cancel().check();
        act_(context.workbench().appliance());
    }

  private:
    std::string kind_;
    std::string text_;
    Cost cost_;
    std::function<void(Appliance&)> act_;
};

} // namespace

std::unique_ptr<Step> make_table_step(std::vector<Patch> patches, std::string what) {
    return std::make_unique<TableStep>(std::move(patches), std::move(what));
}

std::unique_ptr<Step> make_verify_step(Registry& registry, ExpectedState expected) {
    return std::make_unique<VerifyStep>(registry, std::move(expected));
}

std::unique_ptr<Step> make_commit_step(WorkCommit request, std::string what) {
    return std::make_unique<CommitStep>(request, std::move(what));
}

std::unique_ptr<Step> make_appliance_resize_step(std::string device, std::string type, std::uint64_t old_size,
                                                 std::uint64_t new_size) {
    std::string text =
        fmt::format("{} the {} on {} to {} in the appliance", new_size < old_size ? "shrink" : "grow", type,
                    device, exact_size_text(new_size));
    return std::make_unique<ApplianceStep>(
        "appliance.resize-filesystem", std::move(text), Cost{},
        [=](Appliance& appliance) { appliance.resize_filesystem(device, type, new_size); });
}

std::unique_ptr<Step> make_physical_volume_step(std::string device, std::uint64_t new_size) {
    std::string text = fmt::format("let the physical volume on {} have {} in the appliance", device,
                                   exact_size_text(new_size));
    return std::make_unique<ApplianceStep>(
        "appliance.resize-physical-volume", std::move(text), Cost{},
        [=](Appliance& appliance) { appliance.resize_physical_volume(device, new_size); });
}

std::unique_ptr<Step> make_logical_volume_step(std::string device, std::uint64_t new_size) {
    std::string text =
        fmt::format("let the logical volume {} have {} in the appliance", device, exact_size_text(new_size));
    return std::make_unique<ApplianceStep>(
        "appliance.resize-logical-volume", std::move(text), Cost{},
        [=](Appliance& appliance) { appliance.resize_logical_volume(device, new_size); });
}

} // namespace disktool
