// SPDX-License-Identifier: LGPL-2.1-or-later
#include "change_steps.h"
#include "image.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

class ResizeStep final : public Step {
  public:
    ResizeStep(Image& image, const ResizeRequest& request)
        : image_(image), request_(request), old_size_(image.info().virtual_size) {}

    std::string kind() const override { return "ploop.resize"; }
    std::string text() const override {
        return fmt::format("{} the disk from {} to {}", old_size_ < request_.new_size ? "grow" : "shrink",
                           size_text(old_size_), size_text(request_.new_size));
    }
    Cost cost() const override {
        if (image_.raw()) {
            return raw_cost();
        }
        const Header& now = image_.delta().header();
        const std::uint64_t entries = divide_up(request_.new_size, image_.delta().cluster_size());
        const std::uint64_t tables = std::max(now.data_start(), table_clusters(entries, now.cluster_sectors));
        Cost cost;
        // The BAT goes to the disk twice, and what lies in its way is moved.
        cost.written = (2 * tables + 2 * (tables - now.data_start()) + request_.patches.size()) *
                       image_.delta().cluster_size();
        cost.space = cost.written;
        return cost;
    }
    std::string needs_no_undo() const override {
        return "the disk changes at one instant, and before that nothing refers to what was written";
    }
    void commit(StepContext& context) override {
        context.cancel().check();
        const auto work = image_.begin_work(std::max(old_size_, request_.new_size));
        for (const Patch& patch : request_.patches) {
            work->write(patch.offset, patch.data);
        }
        WorkCommit commit;
        commit.size = request_.new_size;
        commit.reserve = image_.allocation() == Allocation::plain;
        work->commit(commit);
        context.advance(cost().work());
    }

  private:
    Cost raw_cost() const {
        Cost cost;
        // To the delta, and from there to the image.
        const std::uint64_t changed = request_.patches.size() * image_.delta().cluster_size();
        cost.read = changed;
        cost.written = 2 * changed;
        cost.space = changed + request_.new_size - std::min(request_.new_size, old_size_);
        return cost;
    }

    Image& image_;
    ResizeRequest request_;
    std::uint64_t old_size_;
};

} // namespace

std::unique_ptr<Step> resize_step(Image& image, const ResizeRequest& request) {
    for (const Patch& patch : request.patches) {
        if (patch.offset > request.new_size || patch.data.size() > request.new_size - patch.offset) {
            throw Error(ErrorCode::failure,
                        fmt::format("{}: {} bytes at offset {} are to be written beyond the new end at {}",
                                    image.info().path, patch.data.size(), patch.offset, request.new_size));
        }
    }
    return std::make_unique<ResizeStep>(image, request);
}

} // namespace disktool::ploop
