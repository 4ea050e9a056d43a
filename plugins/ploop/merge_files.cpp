// SPDX-License-Identifier: LGPL-2.1-or-later
// The low-level merge: image files without a descriptor. No file is removed: the upper ones still override what
// they held, so the same stack of files has the same content before, during and after.
#include "disk_change.h"
#include "merge_clusters.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

class MergeFilesStep final : public Step {
  public:
    MergeFilesStep(std::vector<std::string> top_to_base, std::string new_file, bool raw_base,
                   std::uint32_t cluster_sectors, MergeWork work, Say say)
        : paths_(std::move(top_to_base)), new_file_(std::move(new_file)), raw_base_(raw_base),
          cluster_sectors_(cluster_sectors), work_(work), say_(std::move(say)) {}
    std::string kind() const override { return "ploop.merge-files"; }
    std::string text() const override {
        return fmt::format("Move {} clusters of {} into {}", work_.clusters, fmt::join(sources(), ", "),
                           target());
    }
    Cost cost() const override {
        const std::uint64_t cluster = cluster_sectors_ * sector_size;
        const std::uint64_t bytes = work_.clusters * cluster;
        return {.read = bytes, .written = bytes, .discarded = 0, .space = work_.new_clusters * cluster};
    }
    Details details() const override { return {{"clusters", work_.clusters}, {"into", target()}}; }
    void commit(StepContext& context) override;
    std::string needs_no_undo() const override { return {}; }
    void undo(StepContext& context) override;

  private:
    std::vector<std::string> sources() const {
        return {paths_.begin(), paths_.end() - (new_file_.empty() ? 1 : 0)};
    }
    std::string target() const { return new_file_.empty() ? paths_.back() : new_file_; }
    std::unique_ptr<Delta> open(FileDoor& files, const std::string& path, Access access, bool dirty_too) const {
        auto file = files.open(path, {.write = access == Access::write, .cache = HostCache::small_requests});
        return raw_base_ && path == paths_.back() ? Delta::open_raw(std::move(file), access, cluster_sectors_)
                                                  : Delta::open(std::move(file), access, dirty_too);
    }

    std::vector<std::string> paths_; ///< top first
    std::string new_file_;
    bool raw_base_;
    std::uint32_t cluster_sectors_;
    MergeWork work_;
    Say say_;
    std::optional<JobFile> made_;
    bool writing_ = false;
};

void MergeFilesStep::commit(StepContext& context) {
    FileDoor& files = context.doors().files;
    std::vector<std::unique_ptr<Delta>> deltas;
    std::vector<const Delta*> newest_first;
    for (const std::string& path : sources()) {
        deltas.push_back(open(files, path, Access::read, false));
        newest_first.push_back(deltas.back().get());
    }
    const Header& top = deltas.front()->header();
    say_(fmt::format("Merging image{}: {} -> {}{}", newest_first.size() == 1 ? "" : "s",
                     fmt::join(sources(), " "), new_file_.empty() ? "" : "(new) ", target()));
    if (!new_file_.empty()) {
        const auto file = files.open(
            new_file_, {.write = true, .create = true, .exclusive = true, .follow_links = false, .mode = 0600});
        const FileStatus status = file->status();
        made_ = JobFile{new_file_, status.device, status.inode};
        Delta::create(*file, {.disk_sectors = top.disk_sectors,
                              .cluster_sectors = top.cluster_sectors,
                              .version = top.version,
                              .preallocated = false});
    }
    const auto into = open(files, target(), Access::write, false);
    writing_ = new_file_.empty();
    merge_into(newest_first, *into, top.disk_sectors, context);
    writing_ = false;
    if (!new_file_.empty()) {
        files.sync_directory(directory_of(new_file_));
    }
}

void MergeFilesStep::undo(StepContext& context) {
    FileDoor& files = context.doors().files;
    if (made_) {
        remove_listed(files, *made_);
    }
    if (writing_) {
        const auto into = open(files, target(), Access::write, true);
        if (!into->raw() && into->header().is_in_use()) {
            into->begin();
            into->end();
        }
    }
}

} // namespace

Plan plan_merge_files(Doors doors, const std::vector<std::string>& top_to_base, const std::string& new_file,
                      bool raw_base, const Say& say) {
    if (top_to_base.size() < 2) {
        refuse("A merge needs two image files at least: the top first, the base last");
    }
    FileDoor& files = doors.files;
    std::vector<std::unique_ptr<Delta>> deltas;
    std::vector<FileStatus> seen;
    for (std::size_t i = 0; i < top_to_base.size(); ++i) {
        const bool raw = raw_base && i + 1 == top_to_base.size();
        auto file = files.open(top_to_base[i], {});
        const FileStatus status = file->status();
        if (std::ranges::any_of(seen, [&](const FileStatus& other) { return other.same_file(status); })) {
            refuse(fmt::format("{} is named twice", top_to_base[i]));
        }
        seen.push_back(status);
        deltas.push_back(
            raw ? Delta::open_raw(std::move(file), Access::read, deltas.front()->header().cluster_sectors)
                : Delta::open(std::move(file), Access::read));
    }
    if (!new_file.empty() && raw_base) {
        throw PloopError(
            Exit::image_open, ErrorCode::unsupported,
            fmt::format("{} is a raw image, which cannot be merged into a new file", top_to_base.back()),
            Reason::format_not_supported);
    }
    if (!new_file.empty() && files.status(new_file, false)) {
        refuse(fmt::format("{} exists already; name a file that does not", new_file));
    }
    std::vector<const Delta*> newest_first;
    for (const auto& delta : deltas) {
        newest_first.push_back(delta.get());
    }
    require_one_cluster_size(newest_first);
    const Delta* target = new_file.empty() ? deltas.back().get() : nullptr;
    if (target != nullptr) {
        newest_first.pop_back();
    }
    const MergeWork work = merge_work(newest_first, target, deltas.front()->clusters());
    Plan plan("merge", top_to_base.back());
    plan.add(std::make_unique<MergeFilesStep>(top_to_base, new_file, raw_base,
                                              deltas.front()->header().cluster_sectors, work,
                                              say ? say : Say([](const std::string&) {})));
    return plan;
}

} // namespace disktool::ploop
