// SPDX-License-Identifier: LGPL-2.1-or-later
// The data of the upper deltas goes into the file of the lowest one, while the descriptor still names them all:
// what lies above sees no change, since the upper ones still override. Only the snapshots that are about to go
// see it.
#include "snapshot_merge.h"

#include "image_path.h"
#include "merge_clusters.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

using Deltas = std::vector<std::unique_ptr<Delta>>;

/// Newest first, which is the order that decides.
std::vector<const Delta*> newest_first(const Deltas& lowest_first, std::size_t from) {
    std::vector<const Delta*> result;
    for (std::size_t i = lowest_first.size(); i-- > from;) {
        result.push_back(lowest_first[i].get());
    }
    return result;
}

std::unique_ptr<Delta> open_image(const PloopDisk& disk, const Descriptor& descriptor, const Uuid& uuid) {
    const ImageEntry& entry = *descriptor.image(uuid);
    auto file =
        disk.doors().files.open(resolve(disk.doors().files, disk.path(), entry, disk.options().allowed), {});
    // A lower image may be one that the merge before this one in the plan will have closed.
    return entry.raw ? Delta::open_raw(std::move(file), Access::read, descriptor.cluster_sectors)
                     : Delta::open(std::move(file), Access::read);
}

class MergeStep final : public Step {
  public:
    MergeStep(std::shared_ptr<DiskChange> change, Segment segment, std::vector<std::string> names,
              std::string new_file, MergeWork work, std::uint64_t cluster_size, bool raw)
        : change_(std::move(change)), segment_(std::move(segment)), names_(std::move(names)),
          new_file_(std::move(new_file)), work_(work), cluster_size_(cluster_size), raw_(raw) {}

    std::string kind() const override { return "ploop.merge-clusters"; }
    std::string text() const override {
        return fmt::format("Move {} clusters ({}) of {} into {}", work_.clusters,
                           size_text(work_.clusters * cluster_size_), fmt::join(upper_names(), ", "),
                           target_name());
    }
    Cost cost() const override {
        const std::uint64_t bytes = work_.clusters * cluster_size_;
        return {.read = bytes, .written = bytes, .discarded = 0, .space = work_.new_clusters * cluster_size_};
    }
    Details details() const override {
        return {{"clusters", work_.clusters},
                {"new_clusters", work_.new_clusters},
                {"cluster_size", cluster_size_},
                {"into", target_name()}};
    }
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override { return {}; }
    void undo(StepContext& context) override;

  private:
    std::vector<std::string> upper_names() const {
        return {names_.begin() + (new_file_.empty() ? 1 : 0), names_.end()};
    }
    std::string target_name() const { return new_file_.empty() ? names_.front() : new_file_; }
    void say_what() const;
    void fill_new(const Deltas& deltas, StepContext& context);
    void fill_lowest(const Deltas& deltas, StepContext& context);
    void keep_if(bool changed);

    std::shared_ptr<DiskChange> change_;
    Segment segment_; ///< lowest first
    std::vector<std::string> names_;
    std::string new_file_;
    MergeWork work_;
    std::uint64_t cluster_size_;
    bool raw_;
    /// Of the lowest image: its in-use mark may be on, or it may hold data of those above it.
    enum class Lowest { untouched, opened, changed } lowest_ = Lowest::untouched;
};

void MergeStep::say_what() const {
    const PloopDisk& disk = change_->disk;
    const SnapshotEntry* upper = disk.descriptor.snapshot(segment_.back());
    disk.say(fmt::format("Offline {}snapshot merge {} -> {}{}", upper->temporary ? "temporary " : "",
                         segment_.back().text(), segment_.front().text(), raw_ ? " (raw)" : ""));
}

void MergeStep::commit(StepContext& context) {
    PloopDisk& disk = change_->disk;
    say_what();
    Deltas deltas;
    for (const Uuid& uuid : segment_) {
        deltas.push_back(disk.open_delta(uuid, Access::read));
    }
    require_one_cluster_size(newest_first(deltas, 0));
    change_->begin();
    std::vector<std::string> above = upper_names();
    std::ranges::reverse(above);
    if (new_file_.empty()) {
        disk.say(fmt::format("Merging image{}: {} -> {}", above.size() == 1 ? "" : "s", fmt::join(above, " "),
                             names_.front()));
        fill_lowest(deltas, context);
    } else {
        disk.say(fmt::format("Merging images: {} -> (new) {}", fmt::join(above, " "),
                             stored_name(directory_of(disk.path()), new_file_)));
        fill_new(deltas, context);
    }
}

void MergeStep::fill_lowest(const Deltas& deltas, StepContext& context) {
    const std::uint64_t sectors =
        round_up(deltas.back()->header().disk_sectors, deltas.back()->header().cluster_sectors);
    const auto target = change_->disk.open_delta(segment_.front(), Access::write);
    lowest_ = Lowest::opened;
    try {
        merge_into(newest_first(deltas, 1), *target, sectors, context);
    } catch (...) {
        keep_if(target->begun());
        throw;
    }
    keep_if(true);
}

/// There is no way back then, only the one that the next run goes.
void MergeStep::keep_if(bool changed) {
    if (changed) {
        lowest_ = Lowest::changed;
        change_->leave_to_next_run();
    }
}

void MergeStep::fill_new(const Deltas& deltas, StepContext& context) {
    PloopDisk& disk = change_->disk;
    disk.create_delta(new_file_, *deltas.back(), [&](File& file) { change_->made(file); });
    const auto target = Delta::open(
        disk.doors().files.open(new_file_, {.write = true, .cache = HostCache::small_requests}), Access::write);
    merge_into(newest_first(deltas, 0), *target, target->header().disk_sectors, context);
}

void MergeStep::undo(StepContext& context) {
    if (change_->replaced()) {
        return;
    }
    if (lowest_ == Lowest::changed) {
        context.warn(fmt::format(
            "The {} is not finished: the next command that changes or mounts the disk does that. Until then "
            "the "
            "snapshots that were to go may hold newer data than they should. The disk itself is as it was",
            change_->verb()));
        return;
    }
    if (lowest_ == Lowest::opened) {
        try {
            close_image(change_->disk, segment_.front());
        } catch (const Error&) {
            change_->leave_to_next_run();
            throw;
        }
    }
    change_->roll_back();
}

} // namespace

void require_single_children(const PloopDisk& disk, const Descriptor& descriptor, const Segment& segment) {
    for (std::size_t i = 0; i + 1 < segment.size(); ++i) {
        const std::size_t count = descriptor.children(segment[i]).size();
        if (count > 1) {
            refuse(
                fmt::format("{}: snapshot {} has {} snapshots on it, so it cannot be merged with one of them. "
                            "Delete the others first",
                            disk.path(), segment[i].text(), count));
        }
    }
}

void require_nothing_behind(std::span<const Delta* const> newest_first, const Descriptor& descriptor,
                            const Uuid& highest) {
    if (descriptor.children(highest).empty()) {
        return;
    }
    for (const Delta* delta : newest_first) {
        for (std::uint64_t cluster = newest_first.front()->clusters(); cluster < delta->clusters(); ++cluster) {
            if (delta->place(cluster)) {
                refuse(fmt::format("{} holds data behind the end of snapshot {}, which is smaller; merge the "
                                   "snapshots above that one first",
                                   delta->path(), highest.text()));
            }
        }
    }
}

namespace {

Segment segment_in(const PloopDisk& disk, const Descriptor& descriptor, const MergeRequest& request) {
    if (request.all && (request.uuid || request.range_end)) {
        refuse("Options -u and -A can't be used together: -A merges all snapshots");
    }
    if (request.range_end && !request.uuid) {
        refuse("-U gives the other end of a range and needs -u");
    }
    for (const auto& named : {request.uuid, request.range_end}) {
        if (named && descriptor.snapshot(*named) == nullptr) {
            refuse_unknown(disk, *named);
        }
    }
    if (request.all) {
        Segment whole = descriptor.chain(descriptor.top);
        if (whole.size() < 2) {
            refuse(fmt::format("{} has a single image, {}: there is nothing to merge", disk.path(),
                               whole.front().text()));
        }
        return whole;
    }
    const Uuid one = request.uuid.value_or(descriptor.top);
    if (!request.range_end) {
        const Uuid parent = descriptor.snapshot(one)->parent;
        if (parent.is_none()) {
            refuse(fmt::format("{} is the base image of {}, with nothing below that it could be merged into",
                               one.text(), disk.path()));
        }
        return {parent, one};
    }
    for (const auto& [low, high] : {std::pair(one, *request.range_end), std::pair(*request.range_end, one)}) {
        const Segment chain = descriptor.chain(high);
        const auto from = std::ranges::find(chain, low);
        if (from != chain.end() && chain.end() - from >= 2) {
            return {from, chain.end()};
        }
    }
    refuse(one == *request.range_end
               ? fmt::format("The range has only {}: name two snapshots", one.text())
               : fmt::format("Neither of {} and {} lies below the other, so there is no range between them",
                             one.text(), request.range_end->text()));
}

/// Asked for again after a kill, a merge without -u would else take the next snapshot, too.
bool was_finished(const PloopDisk& disk, const MergeRequest& request) {
    if (!disk.finished_merge || !request.new_file.empty()) {
        return false;
    }
    const auto& [before, segment] = *disk.finished_merge;
    try {
        return segment_in(disk, before, request) == segment;
    } catch (const PloopError&) { // it is of another merge
        return false;
    }
}

} // namespace

Segment segment_of(const PloopDisk& disk, const MergeRequest& request) {
    return segment_in(disk, disk.descriptor, request);
}

std::string new_file_of(const PloopDisk& disk, const MergeRequest& request) {
    if (request.new_file.empty()) {
        return {};
    }
    std::string new_file = disk.gated(request.new_file);
    if (disk.doors().files.status(new_file, false)) {
        refuse(fmt::format("{} exists already; name a file that does not", new_file));
    }
    return new_file;
}

void refuse_new_of_raw(const Descriptor& descriptor, const Segment& segment, const std::string& new_file) {
    if (descriptor.image(segment.front())->raw && !new_file.empty()) {
        throw PloopError(
            Exit::image_open, ErrorCode::unsupported,
            fmt::format("{} is a raw image, which cannot be merged into a new file (-n). Merge into "
                        "it, without -n",
                        descriptor.image(segment.front())->file),
            Reason::format_not_supported);
    }
}

Descriptor merged(const Descriptor& before, const Segment& segment, const std::string& file) {
    Descriptor after = before;
    // From below: each merge gives the lowest file the next uuid.
    for (std::size_t i = 1; i < segment.size(); ++i) {
        after.merge(segment[i], file);
    }
    return after;
}

Descriptor add_merge(Plan& plan, PloopDisk& disk, const std::string& verb, const Descriptor& before,
                     const Segment& segment, const std::string& new_file) {
    require_single_children(disk, before, segment);
    const bool raw = before.image(segment.front())->raw;
    refuse_new_of_raw(before, segment, new_file);
    Deltas deltas;
    std::vector<std::string> names, paths;
    for (const Uuid& uuid : segment) {
        deltas.push_back(open_image(disk, before, uuid));
        names.push_back(before.image(uuid)->file);
        paths.push_back(deltas.back()->path());
    }
    require_one_cluster_size(newest_first(deltas, 0));
    require_nothing_behind(newest_first(deltas, 0), before, segment.back());

    const Descriptor after =
        merged(before, segment, new_file.empty() ? before.image(segment.front())->file : new_file);
    const auto change = std::make_shared<DiskChange>(disk, verb, after);
    if (new_file.empty()) {
        change->will_change(paths.front());
        change->will_merge(segment);
    } else {
        change->will_make(new_file);
        change->will_remove(paths.front());
    }
    for (std::size_t i = 1; i < paths.size(); ++i) {
        change->will_remove(paths[i]);
    }
    const MergeWork work =
        new_file.empty() ? merge_work(newest_first(deltas, 1), deltas.front().get(), deltas.back()->clusters())
                         : merge_work(newest_first(deltas, 0), nullptr, deltas.back()->clusters());
    const std::string target = new_file.empty() ? paths.front() : new_file;
    plan.add(std::make_unique<MergeStep>(change, segment, names, new_file, work, deltas.front()->cluster_size(),
                                         raw));
    add_switch(plan, change, fmt::format("Store the descriptor: {} is {}", segment.back().text(), target),
               "ploop snapshot merged");
    return after;
}

Plan plan_snapshot_merge(PloopDisk& disk, const MergeRequest& request) {
    Plan plan("snapshot-merge", disk.path());
    if (was_finished(disk, request)) {
        plan.add(
            say_step(disk, "ploop snapshot merged", "The merge was finished just now: nothing is left to do"));
        return plan;
    }
    const Segment segment = segment_of(disk, request);
    add_merge(plan, disk, "snapshot-merge", disk.descriptor, segment, new_file_of(disk, request));
    return plan;
}

} // namespace disktool::ploop
