// SPDX-License-Identifier: LGPL-2.1-or-later
#include "grow_by_qemu.h"

#include "engine/qemu.h"
#include "grow_layout.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace disktool::qcow2 {

namespace {

/// Where the primary tables lie, which refer to what is behind and are therefore written last.
constexpr std::uint64_t start_of_disk = 1 * MiB;

/// Runs `work`, which starts a QEMU that opens the image; what we knew of it is forgotten afterwards.
void with_image_lent(StepContext& context, Image& image, const std::function<void()>& work) {
    context.lend_image_to_child();
    try {
        work();
    } catch (...) {
        context.take_image_back();
        throw;
    }
    context.take_image_back();
    image.metadata().forget();
}

class ResizeByQemu final : public Step {
  public:
    ResizeByQemu(Image& image, std::uint64_t old_size, std::uint64_t new_size)
        : image_(image), old_size_(old_size), new_size_(new_size) {}

    std::string kind() const override { return "qemu.resize"; }
    std::string text() const override {
        return fmt::format("grow the disk from {} to {}", size_text(old_size_), size_text(new_size_));
    }
    std::string engine() const override { return "qemu"; }
    std::string needs_no_undo() const override {
        return "the larger disk holds the same bytes, and zeros behind them; the verb can be run again";
    }
    void commit(StepContext& context) override {
        context.cancel().check();
        with_image_lent(context, image_, [&] {
            qemu_img_resize(context.doors(), image_.file().path(), "qcow2", new_size_, &context.cancel());
        });
    }

  private:
    Image& image_;
    std::uint64_t old_size_;
    std::uint64_t new_size_;
};

class WriteByQemu final : public Step {
  public:
    WriteByQemu(Image& image, std::vector<Patch> patches) : image_(image), patches_(std::move(patches)) {}

    std::string kind() const override { return "qemu.write-table"; }
    std::string text() const override {
        return fmt::format("write {} for the new size, what lies at the new end first", size_text(bytes()));
    }
    std::string engine() const override { return "qemu"; }
    Cost cost() const override {
        Cost cost;
        cost.written = bytes();
        cost.space = bytes();
        return cost;
    }
    std::string needs_no_undo() const override {
        return "what lies at the new end counts only when the start refers to it; the verb can be run again";
    }
    void commit(StepContext& context) override {
        context.cancel().check();
        with_image_lent(context, image_, [&] {
            NbdDevice::Options options;
            options.writable = true;
            options.cancel = &context.cancel();
            auto disk = NbdDevice::open(context.doors(), image_.file().path(), "qcow2", options);
            write(*disk, true);
            write(*disk, false);
            disk->close();
        });
        context.advance(bytes());
    }

  private:
    std::uint64_t bytes() const {
        std::uint64_t result = 0;
        for (const Patch& patch : patches_) {
            result += patch.data.size();
        }
        return result;
    }
    void write(BlockDevice& disk, bool behind_the_start) {
        for (const Patch& patch : patches_) {
            if ((patch.offset >= start_of_disk) == behind_the_start) {
                disk.write(patch.offset, patch.data);
            }
        }
        disk.flush();
    }

    Image& image_;
    std::vector<Patch> patches_;
};

} // namespace

void plan_grow_by_qemu(Image& image, Plan& plan, const ResizeRequest& request) {
    const GrowLayout layout(image, request); // for its checks
    if (layout.new_size > layout.old_size) {
        plan.add(std::make_unique<ResizeByQemu>(image, layout.old_size, layout.new_size));
    }
    if (!request.patches.empty()) {
        plan.add(std::make_unique<WriteByQemu>(image, request.patches));
    }
    plan.note(
        "QEMU does the work, since the image has dirty bitmaps: each step leaves a valid disk, but the size "
        "and what is written for it do not change in the same moment");
}

} // namespace disktool::qcow2
