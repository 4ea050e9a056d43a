// SPDX-License-Identifier: LGPL-2.1-or-later
#include "resize_step.h"

#include "in_place.h"
#include "new_bitmaps.h"
#include "present.h"
#include "sizes.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace disktool::qcow2 {

namespace {

std::string text_of(std::uint64_t old_size, const ResizeRequest& request, bool plain) {
    std::uint64_t bytes = 0;
    for (const Patch& patch : request.patches) {
        bytes += patch.data.size();
    }
    if (old_size == request.new_size) {
        return fmt::format("change {} of what is on the disk, all in one moment", size_text(bytes));
    }
    const bool grows = old_size < request.new_size;
    std::string text = fmt::format("{} the disk from {} to {}", grows ? "grow" : "shrink", size_text(old_size),
                                   size_text(request.new_size));
    if (bytes > 0) {
        text += fmt::format(", and change {} of what is on it in the same moment", size_text(bytes));
    }
    if (plain && grows) {
        text += ", all of the new part reserved";
    }
    return text;
}

void check_patches(const Image& image, const ResizeRequest& request) {
    for (const Patch& patch : request.patches) {
        if (patch.offset > request.new_size || patch.data.size() > request.new_size - patch.offset) {
            throw Error(ErrorCode::failure,
                        fmt::format("{}: {} bytes at offset {} are to be written beyond the new end at {}",
                                    image.info().path, patch.data.size(), patch.offset, request.new_size));
        }
    }
}

/// A bound of what the step takes and writes; a plan has no exact figure before the tables are made.
Cost estimate(Image& image, const ResizeRequest& request, bool plain) {
    const Header& header = image.metadata().header();
    const std::uint64_t cluster_size = header.cluster_size();
    const std::uint64_t old_size = header.virtual_size;
    std::set<std::uint64_t> clusters;
    std::set<std::uint64_t> tables;
    for (const Patch& patch : request.patches) {
        const std::uint64_t end = divide_up(patch.offset + patch.data.size(), cluster_size);
        for (std::uint64_t cluster = patch.offset / cluster_size; cluster < end; ++cluster) {
            clusters.insert(cluster);
        }
    }
    if (const std::uint64_t cut = std::min(old_size, request.new_size);
        cut % cluster_size != 0 && old_size != request.new_size) {
        clusters.insert(cut / cluster_size);
    }
    for (const std::uint64_t cluster : clusters) {
        tables.insert(cluster / header.l2_entries());
    }
    const std::uint64_t backing_size = image.backing() != nullptr ? image.backing()->info().virtual_size : 0;
    std::uint64_t zeroed = old_size;
    if (zeroed < std::min(request.new_size, backing_size)) {
        for (; zeroed < std::min(request.new_size, backing_size); zeroed += header.l1_coverage()) {
            tables.insert(zeroed / header.l1_coverage());
        }
        tables.insert((std::min(request.new_size, backing_size) - 1) / header.l1_coverage());
    }
    const std::uint64_t needed_l1 = divide_up(request.new_size, header.l1_coverage());
    const bool shrinks = request.new_size < old_size;
    const bool grows_l1 = needed_l1 > header.l1_size;
    Cost cost;
    cost.written = HeaderSector::size;
    if (!tables.empty() || grows_l1 || shrinks) {
        const std::uint64_t l1 = divide_up(std::max<std::uint64_t>(needed_l1, 1) * 8, cluster_size);
        const std::uint64_t reserved =
            plain && !shrinks ? divide_up(request.new_size - old_size, cluster_size) : 0;
        const std::uint64_t reserved_tables = divide_up(reserved, header.l2_entries());
        // Of each: its table and a cluster of bits; and the directory of all.
        const std::uint64_t bitmaps = image.bitmaps().empty() ? 0 : image.bitmaps().size() * 2 + 1;
        const std::uint64_t taken = clusters.size() + tables.size() + l1 + reserved + reserved_tables + bitmaps;
        const std::uint64_t per_block = cluster_size * 8 / header.refcount_bits;
        // What is replaced is counted in other blocks than what replaces it.
        const std::uint64_t blocks = divide_up(taken, per_block) + 1 +
                                     std::min(divide_up(image.metadata().file_size() / cluster_size, per_block),
                                              clusters.size() + tables.size() + 2);
        cost.space = (taken + blocks + header.refcount_table_clusters) * cluster_size;
        cost.written += cost.space - reserved * cluster_size;
        cost.read = clusters.size() * cluster_size;
    }
    return cost;
}

void check_room(Image& image, std::uint64_t needed) {
    const std::string& path = image.info().path;
    const std::uint64_t free = image.opener().doors().files.free_space(path);
    if (free < needed) {
        throw Error(
            ErrorCode::no_space,
            fmt::format("{}: Not enough free space ( needed: {} available: {} ) in MiB on its host file "
                        "system; make room and run it again",
                        path, divide_up(needed, MiB), free / MiB));
    }
}

class ResizeStep final : public Step {
  public:
    ResizeStep(Image& image, ResizeRequest request, bool plain)
        : image_(image), request_(std::move(request)), plain_(plain),
          old_size_(image.metadata().header().virtual_size), text_(text_of(old_size_, request_, plain)),
          cost_(estimate(image, request_, plain)) {
        check_room(image, cost_.space);
    }

    std::string kind() const override {
        return request_.new_size == old_size_  ? "qcow2.write"
               : request_.new_size < old_size_ ? "qcow2.shrink"
                                               : "qcow2.grow";
    }
    std::string text() const override { return text_; }
    Cost cost() const override { return cost_; }
    std::string needs_no_undo() const override {
        return "the disk changes from old to new in one write of the header";
    }
    void commit(StepContext& context) override;

  private:
    Image& image_;
    ResizeRequest request_;
    bool plain_;
    std::uint64_t old_size_;
    std::string text_;
    Cost cost_;
};

void ResizeStep::commit(StepContext& context) {
    context.cancel().check();
    const auto disk = image_.begin_work(std::max(request_.new_size, image_.metadata().header().virtual_size));
    for (const Patch& patch : request_.patches) {
        context.cancel().check();
        disk->write(patch.offset, patch.data);
    }
    context.cancel().check();
    WorkCommit change;
    change.size = request_.new_size;
    change.reserve = plain_;
    disk->commit(change);
    context.advance(cost_.work());
}

} // namespace

void plan_resize(Image& image, Plan& plan, const ResizeRequest& request) {
    image.reload(); // a job that failed may have left them stale
    const std::uint64_t old_size = image.metadata().header().virtual_size;
    if (old_size == request.new_size && request.patches.empty()) {
        return;
    }
    check_patches(image, request);
    check_size(image, request.new_size);
    check_bitmaps(image, std::max(old_size, request.new_size));
    look_at_present(image);
    const bool plain = image.allocation() == Allocation::plain;
    plan.add(std::make_unique<ResizeStep>(image, request, plain));
}

} // namespace disktool::qcow2
