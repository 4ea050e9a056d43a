// SPDX-License-Identifier: LGPL-2.1-or-later
#include "grow_step.h"

#include "host_space.h"
#include "in_place.h"
#include "new_tables.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::qcow2 {

namespace {

std::string text_of(const GrowLayout& layout, const std::vector<Patch>& patches) {
    std::uint64_t bytes = 0;
    for (const Patch& patch : patches) {
        bytes += patch.data.size();
    }
    if (layout.old_size == layout.new_size) {
        return fmt::format("change {} of what is on the disk, all in one moment", size_text(bytes));
    }
    std::string text =
        fmt::format("grow the disk from {} to {}", size_text(layout.old_size), size_text(layout.new_size));
    if (bytes > 0) {
        text += fmt::format(", and change {} of what is on it in the same moment", size_text(bytes));
    }
    return text;
}

/// One run of a GrowStep.
class Growth {
  public:
    Growth(Image& image, const ResizeRequest& request)
        : image_(image), request_(request), layout_(image, request), file_(image.file()),
          file_size_(image.metadata().file_size()), refcounts_(file_, image.metadata().header(), file_size_),
          allocator_(file_, refcounts_, file_size_), tables_(image, layout_, allocator_) {
        if (!layout_.header_only()) {
            allocator_.cover();
        }
    }

    const GrowLayout& layout() const { return layout_; }
    std::uint64_t space() const { return allocator_.allocated().length; } ///< bytes

    void write_new(StepContext& context);
    void take_back();
    void switch_header();
    void free_old();

  private:
    Image& image_;
    const ResizeRequest& request_;
    GrowLayout layout_;
    File& file_;
    std::uint64_t file_size_;
    Refcounts refcounts_;
    Allocator allocator_;
    NewTables tables_;
    bool linked_ = false;
};

/// Until the switch nothing refers to any of this.
void Growth::write_new(StepContext& context) {
    if (layout_.header_only()) {
        return;
    }
    do {
        context.cancel().check();
    } while (tables_.write_next(request_.patches));
    allocator_.write_counts();
    file_.sync_data();
    linked_ = true;
    if (allocator_.link_blocks()) {
        file_.sync_data();
    }
}

void Growth::take_back() {
    if (layout_.header_only() || linked_) {
        return; // leaked clusters at worst, and new refcount blocks, which are as good as the old
    }
    allocator_.take_back();
    file_.sync_data();
    file_.truncate(file_size_);
}

void Growth::switch_header() {
    HeaderSector sector(file_);
    sector.set_64(field::virtual_size, layout_.new_size);
    if (layout_.new_l1) {
        sector.set_32(field::l1_size, static_cast<std::uint32_t>(layout_.l1_size));
        sector.set_64(field::l1_offset, tables_.l1_offset());
    }
    if (const Range table = allocator_.new_table(); !table.empty()) {
        sector.set_64(field::refcount_table_offset, table.offset);
        sector.set_32(field::refcount_table_clusters,
                      static_cast<std::uint32_t>(table.length / refcounts_.cluster_size()));
    }
    sector.clear_unknown_autoclear(image_.metadata().header());
    sector.write();
}

void Growth::free_old() {
    std::vector<std::uint64_t> clusters = tables_.dropped();
    if (!allocator_.new_table().empty()) {
        const Range old_table = refcounts_.place();
        for (std::uint64_t at = old_table.offset; at < old_table.end(); at += refcounts_.cluster_size()) {
            clusters.push_back(at / refcounts_.cluster_size());
        }
    }
    Refcounts refcounts(file_, image_.metadata().header(), image_.metadata().file_size());
    const ExtentSet freed = refcounts.lower(std::move(clusters));
    file_.sync_data();
    for (const Range& hole : freed.rounded_inward(host_block)) {
        file_.punch_hole(hole);
    }
}

void check_space(Image& image, std::uint64_t needed) {
    const std::string& path = image.file().path();
    const std::uint64_t free = image.opener().doors().files.free_space(path);
    if (free < needed) {
        throw Error(ErrorCode::no_space,
                    fmt::format("{}: growing it needs {} on the host, which has {} left there; make room and "
                                "run it again",
                                path, exact_size_text(needed), exact_size_text(free)));
    }
}

} // namespace

GrowStep::GrowStep(Image& image, ResizeRequest request) : image_(image), request_(std::move(request)) {
    const Growth growth(image_, request_);
    text_ = text_of(growth.layout(), request_.patches);
    cost_.read = growth.layout().clusters.size() * image_.metadata().header().cluster_size();
    cost_.written = growth.space() + HeaderSector::size;
    cost_.space = growth.space();
    check_space(image_, cost_.space);
}

void GrowStep::commit(StepContext& context) {
    context.cancel().check();
    image_.metadata().forget();
    Growth growth(image_, request_);
    try {
        growth.write_new(context);
    } catch (...) {
        try {
            growth.take_back();
        } catch (const Error& error) {
            context.warn(fmt::format("What was written for the new size could not be taken back and stays as "
                                     "leaked clusters, which the next run mends: {}",
                                     error.what()));
        }
        throw;
    }
    growth.switch_header();
    context.advance(cost_.work());
    try {
        image_.metadata().forget();
        growth.free_old();
    } catch (const Error& error) {
        context.warn(fmt::format("The disk has its new size, but clusters of its old tables stay leaked; the "
                                 "next run mends them: {}",
                                 error.what()));
    }
}

} // namespace disktool::qcow2
