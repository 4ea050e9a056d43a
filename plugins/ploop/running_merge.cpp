// SPDX-License-Identifier: LGPL-2.1-or-later
// Images below the running top become one, beside guest I/O.
//
// What the lowest of them gets is overridden by those above it until they go, so the guest sees no change. The
// chain reads through the same Delta that the data goes into; only a longer BAT, for which clusters must move,
// needs a pause.
#include "image_path.h"
#include "left_over.h"
#include "merge_clusters.h"
#include "running_change.h"
#include "running_drain.h"
#include "served_disk.h"
#include "snapshot_merge.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

namespace disktool::ploop {

namespace {

/// For what is written with the context of a plan's step.
class VerbContext final : public StepContext {
  public:
    VerbContext(Doors doors, CancelToken* cancel, std::function<void(std::uint64_t)> advanced)
        : doors_(doors), cancel_(cancel), advanced_(std::move(advanced)) {}
    Doors doors() override { return doors_; }
    CancelToken& cancel() override { return cancel_ != nullptr ? *cancel_ : never_; }
    void advance(std::uint64_t bytes) override { advanced_(bytes); }
    void report(const std::string&, std::uint64_t) override {}
    void warn(const std::string& sentence) override { log(LogLevel::warning, sentence); }
    void lend_image_to_child() override {}
    void take_image_back() override {}
    Appliance& appliance() override { none(); }
    Workbench& workbench() override { none(); }
    void commit_work(const WorkCommit&) override { none(); }

  private:
    [[noreturn]] static void none() { throw std::logic_error("a verb on a disk in use has no such thing"); }
    Doors doors_;
    CancelToken* cancel_;
    CancelToken never_;
    std::function<void(std::uint64_t)> advanced_;
};

} // namespace

/// Of neighbours in a chain (ours, or one beside it), the highest of which is not the running top. With a new
/// file also of a single one, which is copied then.
class ServedDisk::LowerMerge {
  public:
    LowerMerge(ServedDisk& served, PloopDisk& disk, const Segment& segment, const std::string& new_file,
               Report& report);
    void run(const std::string& verb);

  private:
    bool in_place() const { return new_file_.empty(); }
    Descriptor after() const;
    void fill(DiskChange& change);
    void open_target(DiskChange& change);
    void take_back_all(DiskChange& change);

    ServedDisk& served_;
    PloopDisk& disk_;
    const Segment segment_;
    const std::string new_file_;
    Report& report_;
    const std::size_t level_;                ///< of the lowest in our chain
    ChainDevice::Deltas opened_;             ///< of another chain: lowest first
    std::vector<const Delta*> newest_first_; ///< what is moved
    std::vector<std::string> paths_;         ///< lowest first
    std::uint64_t sectors_ = 0;              ///< of the disk afterwards
    Delta* target_ = nullptr;
    std::unique_ptr<Delta> made_; ///< the target, where the chain does not own it
    bool marking_ = false;
};

ServedDisk::LowerMerge::LowerMerge(ServedDisk& served, PloopDisk& disk, const Segment& segment,
                                   const std::string& new_file, Report& report)
    : served_(served), disk_(disk), segment_(segment), new_file_(new_file), report_(report),
      level_(served.level_of(segment.front())) {
    const bool in_chain = level_ < served_.levels_.size();
    for (std::size_t i = 0; i < segment_.size(); ++i) {
        if (!in_chain) {
            opened_.push_back(disk_.open_delta(segment_[i], Access::read));
        }
        const auto& delta = in_chain ? served_.device_->deltas()[level_ + i] : opened_.back();
        newest_first_.insert(newest_first_.begin(), delta.get());
        paths_.push_back(disk_.file_of(segment_[i]));
    }
    require_one_cluster_size(newest_first_);
    require_nothing_behind(newest_first_, disk_.descriptor, segment_.back());
    const Header& highest = newest_first_.front()->header();
    sectors_ = round_up(highest.disk_sectors, highest.cluster_sectors);
    const Delta& lowest = *newest_first_.back();
    if (in_place()) {
        newest_first_.pop_back();
    }
    const MergeWork work = merge_work(newest_first_, in_place() ? &lowest : nullptr, highest.entries);
    require_room(work, lowest, served_.doors_.files);
    report_.total += 2 * work.clusters * lowest.cluster_size();
}

Descriptor ServedDisk::LowerMerge::after() const {
    if (in_place()) {
        return merged(disk_.descriptor, segment_, disk_.descriptor.image(segment_.front())->file);
    }
    Descriptor result = merged(disk_.descriptor, segment_, new_file_);
    for (ImageEntry& entry : result.images) {
        if (entry.uuid == segment_.back()) { // a single one is not merged with anything
            entry.file = stored_name(directory_of(disk_.path()), new_file_);
            entry.path = new_file_;
        }
    }
    return result;
}

void ServedDisk::LowerMerge::run(const std::string& verb) {
    DiskChange change(disk_, verb, after());
    if (in_place()) {
        change.will_change(paths_.front());
        change.will_merge(segment_);
    } else {
        change.will_make(new_file_);
    }
    for (std::size_t i = in_place() ? 1 : 0; i < paths_.size(); ++i) {
        change.will_remove(paths_[i]);
    }
    const std::span moved = std::span(paths_).subspan(in_place() ? 1 : 0);
    report_.say(fmt::format("Merging images: {} -> {}", fmt::join(moved, " "),
                            in_place() ? paths_.front() : new_file_));
    std::exception_ptr late;
    try {
        change.begin();
        open_target(change);
        fill(change);
        late = served_.switch_over(change);
    } catch (...) {
        take_back_all(change);
        throw;
    }
    if (level_ < served_.levels_.size()) {
        if (in_place()) {
            served_.exchange(level_ + 1, segment_.size() - 1, {});
        } else {
            ChainDevice::Deltas others;
            others.push_back(std::move(made_));
            served_.exchange(level_, segment_.size(), std::move(others));
        }
        served_.adopt(change.after);
        change_lock(target_->file(), Access::read, report_.say);
    }
    made_.reset();
    opened_.clear();
    if (late) {
        std::rethrow_exception(late);
    }
    change.finish();
}

void ServedDisk::LowerMerge::open_target(DiskChange& change) {
    if (!in_place()) {
        disk_.create_delta(new_file_, *newest_first_.front(), [&](File& file) { change.made(file); });
        made_ = served_.open_level(new_file_, Access::write, 0);
        made_->begin();
        target_ = made_.get();
        return;
    }
    marking_ = true;
    if (level_ < served_.levels_.size()) {
        target_ = &served_.reopen_for_writing(level_);
        return;
    }
    made_ = disk_.open_delta(segment_.front(), Access::write);
    made_->begin();
    target_ = made_.get();
}

void ServedDisk::LowerMerge::fill(DiskChange&) {
    const std::uint64_t bytes = sectors_ * sector_size;
    if (target_->disk_size() < bytes) {
        ChainDevice::Pause pause(*served_.device_);
        target_->grow(sectors_);
    }
    VerbContext context(served_.doors_, report_.watch.cancel,
                        [&](std::uint64_t done) { report_.advance(done); });
    move_clusters(newest_first_, *target_, divide_up(bytes, target_->cluster_size()), context);
    target_->flush();
    if (target_->disk_size() > bytes) {
        ChainDevice::Pause pause(*served_.device_);
        target_->shrink(sectors_);
    }
    target_->end();
}

/// As the merge at rest: the lowest image is closed, and has to be merged again.
void ServedDisk::LowerMerge::take_back_all(DiskChange& change) {
    if (marking_) {
        try {
            if (target_ != nullptr) {
                target_->end();
                change_lock(target_->file(), Access::read, report_.say);
            } else {
                close_image(disk_, segment_.front());
            }
            report_.say(
                fmt::format("Snapshot {}, and those above it that were to be merged with it, may hold "
                            "newer data than they should: run the merge again. The disk itself is as it "
                            "was",
                            segment_.front().text()));
        } catch (const Error& error) {
            change.leave_to_next_run();
            report_.say(fmt::format("{} stays marked as in use until the disk is mounted again: {}",
                                    paths_.front(), error.what()));
        }
    }
    made_.reset();
    take_back(change, report_.say);
}

void ServedDisk::Report::advance(std::uint64_t bytes) {
    done = std::min(done + bytes, total);
    watch.advanced(done, total);
}

void ServedDisk::Report::check() const {
    if (watch.cancel != nullptr) {
        watch.cancel->check();
    }
}

void ServedDisk::merge(const MergeRequest& request, const Say& say, const Watch& watch) {
    const auto disk = open_for("snapshot-merge", say);
    const Segment segment = segment_of(*disk, request);
    Report report{say, watch};
    merge_segment(*disk, "snapshot-merge", segment, new_file_of(*disk, request), report);
}

/// Those below the top first, into the lowest or a new file; then the top, if it is among them.
void ServedDisk::merge_segment(PloopDisk& disk, const std::string& verb, const std::vector<Uuid>& segment,
                               const std::string& new_file, Report& report) {
    require_single_children(disk, disk.descriptor, segment);
    refuse_new_of_raw(disk.descriptor, segment, new_file);
    const bool with_top = segment.back() == disk.descriptor.top;
    Segment lower = segment;
    if (with_top) {
        lower.pop_back();
        report.total += 2 * top().allocated_clusters() * top().cluster_size();
    }
    if (lower.size() > 1 || !new_file.empty()) {
        LowerMerge merge(*this, disk, lower, new_file, report);
        if (!report.watch.plan_only) {
            merge.run(verb);
        }
    }
    if (with_top) {
        Drain drain(*this, disk, report);
        if (!report.watch.plan_only) {
            drain.run(verb);
        }
    }
    if (report.watch.plan_only) {
        report.advance(0);
        return;
    }
    report.say("ploop snapshot merged");
}

} // namespace disktool::ploop
