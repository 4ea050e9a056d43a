// SPDX-License-Identifier: LGPL-2.1-or-later
#include "resize_steps.h"

#include <disktool/error.h>
#include <disktool/last_words.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace disktool::ext4 {

namespace {

constexpr std::uint64_t sector = 512;
/// What e2fsck(8) adds up in its exit status.
constexpr int fsck_corrected = 1;
constexpr int fsck_reboot = 2;
constexpr int fsck_uncorrected = 4;

std::string place(int partition) {
    return partition == 0 ? "the whole disk" : fmt::format("partition {}", partition);
}

/// A check says first what it has found, then what to do.
constexpr std::size_t most_said = 3;

/// Runs one of e2fsprogs on the file system's window.
class ToolStep : public Step {
  public:
    ToolStep(const FilesystemResize& request, std::string type, Cost cost)
        : request_(request), type_(std::move(type)), cost_(cost) {}

    Cost cost() const override { return cost_; }
    std::string needs_no_undo() const override {
        return "only a working state of the disk is changed, which nobody sees before it becomes the image's "
               "own";
    }

  protected:
    CommandResult run(StepContext& context, std::vector<std::string> arguments) const {
        context.cancel().check();
        Workbench& workbench = context.workbench();
        Command command;
        command.arguments = std::move(arguments);
        command.cancel = &context.cancel();
        return workbench.run({command.arguments.front(), "1.43", "e2fsprogs"}, command);
    }
    const FilesystemResize& request() const { return request_; }
    const std::string& type() const { return type_; }

  private:
    FilesystemResize request_;
    std::string type_;
    Cost cost_;
};

class CheckStep final : public ToolStep {
  public:
    using ToolStep::ToolStep;
    std::string kind() const override { return "ext4.check"; }
    std::string text() const override {
        return fmt::format("check the {} on {} with e2fsck", type(), place(request().partition));
    }
    void commit(StepContext& context) override {
        // -p mends what is harmless and gives up on what is not.
        const CommandResult result =
            run(context, {"e2fsck", "-f", "-p", context.workbench().path(request().partition)});
        if (!result.timed_out && (result.exit_status & ~(fsck_corrected | fsck_reboot)) == 0) {
            return;
        }
        if (!result.timed_out && (result.exit_status & ~7) == 0 &&
            (result.exit_status & fsck_uncorrected) != 0) {
            throw Error(
                ErrorCode::damaged,
                fmt::format("e2fsck finds the {} on {} damaged (exit status {}), so it is not resized and "
                            "nothing was changed; mend it first (e2fsck in the guest or a rescue system). "
                            "It says: {}",
                            type(), place(request().partition), result.exit_status,
                            last_words(result, most_said)),
                Reason::filesystem_damaged);
        }
        throw Error(
            ErrorCode::failure,
            fmt::format(
                "e2fsck could not check the {} on {} (exit status {}); nothing was changed. It says: {}",
                type(), place(request().partition), result.exit_status, last_words(result, most_said)));
    }
};

class ResizeStep final : public ToolStep {
  public:
    using ToolStep::ToolStep;
    std::string kind() const override { return "ext4.resize"; }
    std::string text() const override {
        return fmt::format("{} the {} on {} to {} with resize2fs",
                           request().new_size < request().old_size ? "shrink" : "grow", type(),
                           place(request().partition), exact_size_text(request().new_size));
    }
    void commit(StepContext& context) override {
        const CommandResult result = run(context, {"resize2fs", context.workbench().path(request().partition),
                                                   fmt::format("{}s", request().new_size / sector)});
        if (!result.ok()) {
            throw Error(
                ErrorCode::failure,
                fmt::format("resize2fs could not give the {} on {} a size of {} (exit status {}); nothing "
                            "was changed. It says: {}",
                            type(), place(request().partition), exact_size_text(request().new_size),
                            result.exit_status, last_words(result)));
        }
    }
};

} // namespace

void plan_resize(Plan& plan, const FilesystemResize& request, const std::string& type, std::uint64_t metadata,
                 std::uint64_t moved) {
    Cost check;
    check.read = metadata;
    plan.add(std::make_unique<CheckStep>(request, type, check));
    Cost resize;
    resize.read = moved;
    resize.written = moved;
    resize.space = moved;
    plan.add(std::make_unique<ResizeStep>(request, type, resize));
}

} // namespace disktool::ext4
