// SPDX-License-Identifier: LGPL-2.1-or-later
// A larger disk, the block device only: the top delta and the descriptor.
#include "grow.h"

#include "disk_change.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ploop {

namespace {

class GrowImageStep final : public Step {
  public:
    GrowImageStep(std::shared_ptr<DiskChange> change, std::string path, std::uint64_t sectors)
        : change_(std::move(change)), path_(std::move(path)), sectors_(sectors) {}
    std::string kind() const override { return "ploop.grow-image"; }
    std::string text() const override {
        return fmt::format("Grow {} to {}", path_, exact_size_text(sectors_ * sector_size));
    }
    Details details() const override { return {{"file", path_}, {"sectors", sectors_}}; }
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override { return {}; }
    void undo(StepContext& context) override;

  private:
    std::shared_ptr<DiskChange> change_;
    std::string path_;
    std::uint64_t sectors_;
    std::uint64_t old_size_ = 0; ///< bytes; 0: nothing done yet
};

void GrowImageStep::commit(StepContext&) {
    PloopDisk& disk = change_->disk;
    const auto delta = disk.open_delta(disk.descriptor.top, Access::write);
    disk.say(fmt::format("Opening delta {}", path_));
    change_->begin();
    old_size_ = delta->disk_size();
    delta->begin();
    delta->grow(sectors_);
    delta->end();
    change_->leave_to_next_run(); // from here there is no way back, but the next run can go on
}

void GrowImageStep::undo(StepContext&) {
    if (change_->switched() || old_size_ == 0) {
        change_->roll_back();
        return;
    }
    // What was begun is closed; an image that is larger already stays so, and the next run stores the
    // descriptor.
    const PloopDisk& disk = change_->disk;
    try {
        close_image(disk, disk.descriptor.top);
        if (disk.open_delta(disk.descriptor.top, Access::read)->disk_size() != old_size_) {
            change_->leave_to_next_run();
        } else {
            cut_tail_of(disk, disk.descriptor.top); // places that were taken for what lies where the BAT grows
        }
    } catch (const Error&) {
        change_->leave_to_next_run();
        throw;
    }
    change_->roll_back();
}

} // namespace

void require_grow_size(const Delta& top, std::uint64_t disk_sectors) {
    const Header& header = top.header();
    if (disk_sectors % header.cluster_sectors != 0) {
        refuse(fmt::format("{} sectors is not a multiple of the cluster of {}, {} sectors", disk_sectors,
                           top.path(), header.cluster_sectors));
    }
    if (disk_sectors < header.disk_sectors) {
        refuse(fmt::format("{} has {} sectors: a size of {} would make it smaller, which grow does not",
                           top.path(), header.disk_sectors, disk_sectors),
               Reason::would_shrink);
    }
    const std::uint64_t most = largest_disk(top.raw() ? Version::v2 : header.version, header.cluster_sectors);
    if (disk_sectors > most) {
        refuse(fmt::format(
                   "A version {} image with clusters of {} holds at most {} sectors, so {} cannot be grown to "
                   "{}",
                   static_cast<std::uint32_t>(header.version), size_text(header.cluster_size()), most,
                   top.path(), disk_sectors),
               Reason::size_too_large);
    }
}

void require_nothing_below(std::span<const std::unique_ptr<Delta>> base_to_top, std::uint64_t disk_sectors) {
    const Header& header = base_to_top.back()->header();
    const std::uint64_t first = divide_up(header.disk_sectors, header.cluster_sectors);
    const std::uint64_t end = disk_sectors / header.cluster_sectors;
    for (const auto& delta : base_to_top.first(base_to_top.size() - 1)) {
        for (std::uint64_t cluster = first; cluster < end && cluster < delta->clusters(); ++cluster) {
            if (delta->place(cluster)) {
                refuse(fmt::format(
                    "The disk was larger when the snapshot in {} was made, and its data would show in the new "
                    "part. Merge the snapshots first (ploop snapshot-merge -A)",
                    delta->path()));
            }
        }
    }
}

Plan plan_grow(PloopDisk& disk, std::uint64_t disk_sectors) {
    Plan plan("grow", disk.path());
    const auto top = disk.open_delta(disk.descriptor.top, Access::read);
    const Header& header = top->header();
    require_grow_size(*top, disk_sectors);
    if (disk_sectors == header.disk_sectors && disk_sectors == disk.descriptor.disk_sectors) {
        plan.note(fmt::format("{} has {} sectors already", disk.path(), disk_sectors));
        return plan;
    }
    std::vector<std::unique_ptr<Delta>> chain;
    for (const Uuid& uuid : disk.descriptor.chain(disk.descriptor.top)) {
        chain.push_back(disk.open_delta(uuid, Access::read));
    }
    require_nothing_below(chain, disk_sectors);
    Descriptor after = disk.descriptor;
    after.modernise();
    after.set_size(disk_sectors);
    const auto change = std::make_shared<DiskChange>(disk, "grow", std::move(after));
    change->will_change(top->path());
    change->will_grow_to(disk_sectors);
    if (disk_sectors != header.disk_sectors) {
        plan.add(std::make_unique<GrowImageStep>(change, top->path(), disk_sectors));
    }
    add_switch(plan, change, fmt::format("Store the descriptor with a size of {} sectors", disk_sectors), "");
    return plan;
}

} // namespace disktool::ploop
