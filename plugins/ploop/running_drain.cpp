// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_drain.h"

#include "left_over.h"
#include "merge_clusters.h"
#include "running_change.h"
#include "snapshot_merge.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <array>

namespace disktool::ploop {

ServedDisk::Drain::Drain(ServedDisk& served, PloopDisk& disk, Report& report)
    : served_(served), disk_(disk), report_(report), level_(served.levels_.size() - 2),
      lower_(served.levels_[level_].uuid),
      sectors_(round_up(served.top().header().disk_sectors, served.top().header().cluster_sectors)) {
    const Delta& lower = *served_.device_->deltas()[level_];
    const std::array<const Delta*, 1> top = {&served_.top()};
    require_room(merge_work(top, &lower, served_.top().clusters()), lower, served_.doors_.files);
}

void ServedDisk::Drain::run(const std::string& verb) {
    const std::string lower_path = served_.levels_[level_].path, top_path = served_.levels_.back().path;
    DiskChange change(
        disk_, verb,
        merged(disk_.descriptor, {lower_, disk_.descriptor.top}, disk_.descriptor.image(lower_)->file));
    change.will_change(lower_path);
    change.will_merge({lower_, disk_.descriptor.top});
    change.will_remove(top_path);
    report_.say(fmt::format("Merging the running image: {} -> {}", top_path, lower_path));
    std::exception_ptr late;
    try {
        change.begin();
        begin();
        move_all();
        cut();
        late = served_.switch_over(change);
    } catch (...) {
        take_back_all(change);
        throw;
    }
    // Both descriptors show the same disk since the top was empty on stable storage.
    drop_top();
    served_.adopt(change.after);
    if (late) {
        std::rethrow_exception(late);
    }
    change.finish();
}

void ServedDisk::Drain::begin() {
    marking_ = true;
    target_ = &served_.reopen_for_writing(level_);
    ChainDevice::Pause pause(*served_.device_);
    if (target_->disk_size() < sectors_ * sector_size) {
        target_->grow(sectors_);
    }
    pause.start_draining();
}

void ServedDisk::Drain::move_all() {
    ChainDevice& device = *served_.device_;
    const std::uint64_t clusters = served_.top().clusters();
    const std::uint64_t unit = served_.top().cluster_size();
    std::uint64_t unflushed = 0;
    Turns turns;
    for (std::uint64_t cluster = 0; cluster < clusters;) {
        report_.check();
        const ChainDevice::Drained drained =
            turns.run([&] { return device.drain(cluster, served_.source_.batch_bytes); });
        cluster = drained.next;
        report_.advance(2 * drained.moved * unit);
        unflushed += drained.moved * unit;
        if (unflushed >= served_.source_.round_bytes) {
            device.flush();
            unflushed = 0;
        }
    }
    device.flush(); // from now on the top is empty on stable storage
}

/// What the lower one has behind the end of the disk.
void ServedDisk::Drain::cut() {
    if (target_->disk_size() > sectors_ * sector_size) {
        ChainDevice::Pause pause(*served_.device_);
        pause.flush();
        target_->shrink(sectors_);
    }
}

void ServedDisk::Drain::drop_top() {
    ChainDevice::Deltas gone;
    {
        ChainDevice::Pause pause(*served_.device_);
        pause.stop_draining();
        gone = pause.exchange(level_ + 1, 1, {});
    }
    const std::lock_guard lock(served_.mutex_);
    served_.levels_.pop_back();
}

/// The top goes on as one that gets new clusters: what went down is found there.
void ServedDisk::Drain::take_back_all(DiskChange& change) {
    if (marking_) {
        try {
            if (served_.device_->draining()) {
                served_.device_->flush();
                ChainDevice::Pause pause(*served_.device_);
                pause.flush();
                pause.stop_draining();
            }
            if (target_ != nullptr) {
                target_->end();
                change_lock(target_->file(), Access::read, report_.say);
            } else {
                close_image(disk_, lower_);
            }
            report_.say(fmt::format("Snapshot {} may hold newer data than it should: run the merge again. The "
                                    "disk itself is as it was",
                                    lower_.text()));
        } catch (const Error& error) {
            change.leave_to_next_run();
            report_.say(
                fmt::format("{} stays in use, and the merge half done, until the disk is mounted again: "
                            "{}",
                            served_.levels_[level_].path, error.what()));
        }
    }
    take_back(change, report_.say);
}

} // namespace disktool::ploop
