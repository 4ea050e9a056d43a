// SPDX-License-Identifier: LGPL-2.1-or-later
#include "finish_merge.h"

#include "merge_clusters.h"
#include "running.h"
#include "snapshot_merge.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace disktool::ploop {

namespace {

/// Still neighbours in a chain that nobody else looks through, and in the files of then: the descriptor may
/// have been changed by another program.
bool is_pending(const PloopDisk& disk, const DiskJob& job) {
    const Descriptor& descriptor = disk.descriptor;
    for (std::size_t i = 0; i < job.merge.size(); ++i) {
        const Uuid& uuid = job.merge[i];
        const ImageEntry* image = descriptor.image(uuid);
        const SnapshotEntry* snapshot = descriptor.snapshot(uuid);
        const bool lowest = i == 0;
        const bool highest = i + 1 == job.merge.size();
        if (image == nullptr || snapshot == nullptr || (!lowest && !(snapshot->parent == job.merge[i - 1])) ||
            (!highest && descriptor.children(uuid).size() != 1) ||
            !is_listed(disk, *image, lowest ? job.changing : job.gone)) {
            return false;
        }
    }
    return job.merge.size() > 1;
}

class FinishMergeStep final : public Step {
  public:
    FinishMergeStep(const PloopDisk& disk, const DiskJob& job) : disk_(disk), job_(job) {}
    std::string kind() const override { return "ploop.finish-merge"; }
    std::string text() const override { return fmt::format("Finish an interrupted {}", job_.verb); }
    std::string needs_no_undo() const override { return "the disk is the same at every moment"; }
    void commit(StepContext& context) override {
        // The top of a disk that was in use during the merge has the in-use mark, too.
        std::vector<std::unique_ptr<Delta>> above;
        std::vector<const Delta*> newest_first;
        for (std::size_t i = job_.merge.size(); --i > 0;) {
            above.push_back(disk_.open_delta(job_.merge[i], Access::read, true));
            newest_first.push_back(above.back().get());
        }
        const auto target = disk_.open_delta(job_.merge.front(), Access::write, true);
        std::vector<const Delta*> all = newest_first;
        all.push_back(target.get());
        require_one_cluster_size(all);
        const Header& highest = newest_first.front()->header();
        merge_into(newest_first, *target, round_up(highest.disk_sectors, highest.cluster_sectors), context);
    }

  private:
    const PloopDisk& disk_;
    const DiskJob& job_;
};

} // namespace

void finish_merge(PloopDisk& disk, const DiskJob& job) {
    if (!is_pending(disk, job)) {
        return;
    }
    std::vector<std::string> files;
    for (const Uuid& uuid : job.merge) {
        files.push_back(disk.file_of(uuid));
        refuse_used(disk.doors().files, files.back());
    }
    disk.say(fmt::format("Finishing an interrupted {}: {} -> {}", job.verb,
                         fmt::join(files.begin() + 1, files.end(), " "), files.front()));
    Plan plan(job.verb, disk.path());
    plan.add(std::make_unique<FinishMergeStep>(disk, job));
    try {
        run_plan(plan, disk.doors(), disk.options().cancel, {});
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) {
            throw;
        }
        disk.say(fmt::format("The {} cannot be finished: {}", job.verb, error.what()));
        return;
    }
    const Descriptor after = merged(disk.descriptor, job.merge, disk.descriptor.image(job.merge.front())->file);
    after.store(disk.doors().files, disk.path());
    disk.finished_merge = FinishedMerge{disk.descriptor, job.merge};
    disk.descriptor = Descriptor::load(disk.doors().files, disk.path());
}

} // namespace disktool::ploop
