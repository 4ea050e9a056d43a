// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_space.h"
#include "errors.h"
#include "online_steps.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::ploop::cli {

namespace {

void change(const RunningFilesystem& filesystem, std::uint64_t new_size) {
    BalloonFile balloon(filesystem.mount_point);
    const std::uint64_t old_size = balloon.size();
    if (old_size == new_size && balloon.allocated() >= new_size) {
        filesystem.say(fmt::format("Nothing to do: new_size == old_size ({} bytes)", new_size));
        return;
    }
    filesystem.say(fmt::format("Changing balloon size old_size={} new_size={}", old_size, new_size));
    balloon.resize(new_size);
    filesystem.say(fmt::format("Successfully {} balloon from {} to {} bytes",
                               new_size < old_size ? "truncated" : "inflated", old_size, new_size));
}

class ChangeBalloon final : public Step {
  public:
    ChangeBalloon(RunningFilesystem& filesystem, std::uint64_t new_size)
        : filesystem_(filesystem), new_size_(new_size) {}
    std::string kind() const override { return "ploop.balloon"; }
    std::string text() const override {
        return fmt::format("make the balloon of {} {} bytes large", filesystem_.name(), new_size_);
    }
    Details details() const override { return {{"size", new_size_}}; }
    void commit(StepContext&) override { change(filesystem_, new_size_); }
    std::string needs_no_undo() const override {
        return "ploop balloon change gives it any size again; the files on the disk are not touched";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t new_size_;
};

class LargestBalloon final : public Step {
  public:
    LargestBalloon(RunningFilesystem& filesystem, std::uint64_t cluster)
        : filesystem_(filesystem), cluster_(cluster) {}
    std::string kind() const override { return "ploop.balloon"; }
    std::string text() const override {
        return fmt::format("inflate the balloon of {} as far as its file system has room", filesystem_.name());
    }
    /// As the original: all that is free but one cluster, two, four, ... until it fits.
    void commit(StepContext& context) override {
        for (std::uint64_t spare = cluster_;; spare *= 2) {
            context.cancel().check();
            const BalloonSpace space = balloon_space(filesystem_);
            const std::uint64_t free = space.free - std::min(space.free, spare);
            try {
                change(filesystem_, round_down(space.balloon + free, cluster_));
                return;
            } catch (const PloopError& error) {
                if (error.code() != ErrorCode::no_space || free == 0) {
                    throw;
                }
            }
        }
    }
    std::string needs_no_undo() const override {
        return "ploop balloon change gives it any size again; the files on the disk are not touched";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t cluster_;
};

class RepairBalloon final : public Step {
  public:
    RepairBalloon(RunningFilesystem& filesystem, std::uint64_t size, const RunningImage& image)
        : filesystem_(filesystem), size_(size),
          trim_(
              trim_step(filesystem, {.cluster = image.cluster, .smallest = image.cluster, .raw = image.raw})) {}
    std::string kind() const override { return "ploop.balloon-repair"; }
    std::string text() const override {
        return fmt::format("empty the balloon of {} for a moment, {}, and make it {} bytes large again",
                           filesystem_.name(), trim_->text(), size_);
    }
    Cost cost() const override { return trim_->cost(); }
    void commit(StepContext& context) override {
        change(filesystem_, 0);
        try {
            trim_->commit(context);
        } catch (...) {
            change(filesystem_, size_);
            throw;
        }
        change(filesystem_, size_);
    }
    std::string needs_no_undo() const override {
        return "the balloon gets its size back, whatever happens to the rest";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t size_;
    std::unique_ptr<Step> trim_;
};

} // namespace

std::unique_ptr<Step> repair_balloon_step(RunningFilesystem& filesystem, std::uint64_t size,
                                          const RunningImage& image) {
    return std::make_unique<RepairBalloon>(filesystem, size, image);
}

std::unique_ptr<Step> balloon_step(RunningFilesystem& filesystem, std::uint64_t new_size) {
    return std::make_unique<ChangeBalloon>(filesystem, new_size);
}

std::unique_ptr<Step> largest_balloon_step(RunningFilesystem& filesystem, std::uint64_t cluster) {
    return std::make_unique<LargestBalloon>(filesystem, cluster);
}

void plan_inflation(Plan& plan, RunningFilesystem& filesystem, const RunningImage& image,
                    std::unique_ptr<Step> balloon) {
    if (!image.served) {
        plan.add(std::move(balloon));
        plan.note(fmt::format(
            "the image keeps its clusters: {} lies straight on its file (mount with --backend fuse)",
            filesystem.device.node));
        return;
    }
    TrimStepOptions trim{.cluster = image.cluster, .smallest = image.cluster, .raw = image.raw};
    trim.if_possible = true;
    plan.add(trim_step(filesystem, trim));
    plan.add(std::move(balloon));
    if (!image.raw) {
        plan.add(compact_step(filesystem, image.cluster));
    }
}

} // namespace disktool::ploop::cli
