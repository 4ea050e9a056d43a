// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/merge.h"

#include "verb/merge_copy.h"
#include "verb/merge_shared.h"
#include "verb/refusal.h"
#include "verb/work_steps.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

namespace disktool {

namespace {

/// Tables and counts of the result, besides the data that is moved.
constexpr std::uint64_t metadata_reserve = 16 * MiB;

std::vector<Image*> chain_of(Image& top) {
    std::vector<Image*> chain;
    for (Image* image = &top; image != nullptr; image = image->backing()) {
        chain.push_back(image);
    }
    return chain;
}

Image& base_of(Image& top) {
    return *chain_of(top).back();
}

/// What the steps of one merge share: they run one after the other, in this order.
struct MergeState {
    Session& session;
    MergeDirection direction;
    std::string base_path;
    MergeSet set{};
    MovedRuns moved{};
    std::vector<std::string> removed{}; ///< files that are to go
    bool stands_alone = false;          ///< the name of the top shows the result, without the other files
    bool in_doubt = false;              ///< it is being verified, or did not pass
};

class MergeStep : public Step {
  public:
    explicit MergeStep(std::shared_ptr<MergeState> state) : state_(std::move(state)) {}

  protected:
    MergeState& state() const { return *state_; }
    Session& session() const { return state_->session; }

  private:
    std::shared_ptr<MergeState> state_;
};

/// Data to where it stays, and the switch. Until then nothing refers to what was copied; afterwards the name of
/// the top still shows the same disk: in the one direction the top alone, in the other the top over a base that
/// holds the same bytes.
class CopyStep final : public MergeStep {
  public:
    using MergeStep::MergeStep;
    std::string kind() const override { return "merge.copy"; }
    std::string text() const override {
        return state().direction == MergeDirection::into_top
                   ? fmt::format(
                         "copy {} that show through from the backing files into {}, and let it stand alone",
                         size_text(state().set.bytes()), session().path())
                   : fmt::format("copy {} that the images above it hold into {}",
                                 size_text(state().set.bytes()), state().base_path);
    }
    Cost cost() const override {
        Cost cost;
        cost.read = state().set.bytes();
        cost.written = state().set.bytes();
        cost.space = state().set.bytes() + metadata_reserve;
        return cost;
    }
    std::string needs_no_undo() const override {
        return state().stands_alone && !state().in_doubt
                   ? ""
                   : "the copy becomes part of the image at one instant; before that nothing refers to it";
    }
    /// With the record, the next run knows what to remove; a result that is in doubt keeps the files.
    void undo(StepContext&) override {
        throw Error(ErrorCode::failure,
                    fmt::format("{} stands alone already, and what is left to do is to remove {}",
                                session().path(), fmt::join(state().removed, ", ")));
    }
    void commit(StepContext& context) override {
        Image& top = session().image();
        const bool into_top = state().direction == MergeDirection::into_top;
        Image& target = into_top ? top : base_of(top);
        const std::uint64_t size = top.info().virtual_size;
        const std::unique_ptr<WorkingDisk> work = target.begin_work(std::max(size, target.info().virtual_size));
        merge_copy(context, top, state().set, *work, state().moved);
        WorkCommit request;
        request.size = size;
        request.drop_backing = into_top;
        request.reserve = target.allocation() == Allocation::plain;
        work->commit(request);
        state().stands_alone = into_top;
    }
};

/// The base, which now holds all, takes the name of the top with its owner and rights.
class TakeNameStep final : public MergeStep {
  public:
    using MergeStep::MergeStep;
    std::string kind() const override { return "merge.take-name"; }
    std::string text() const override {
        return fmt::format("rename {} to {}", state().base_path, session().path());
    }
    std::string needs_no_undo() const override {
        return "a rename is done or not done, and the disk is the same";
    }
    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        {
            const std::unique_ptr<File> base =
                files.open(state().base_path, {.write = true, .follow_links = false});
            base->take_attributes(session().file());
            base->sync();
        }
        files.rename(state().base_path, session().path());
        state().stands_alone = true;
        files.sync_directory(directory_of(session().path()));
        files.sync_directory(directory_of(state().base_path));
        session().follow_name();
    }
};

class VerifyMergeStep final : public MergeStep {
  public:
    using MergeStep::MergeStep;
    std::string kind() const override { return "merge.verify"; }
    std::string text() const override {
        return "read the result anew: its reference counts, and both ends of every run that was moved";
    }
    std::string needs_no_undo() const override { return "it only reads"; }
    void commit(StepContext&) override {
        state().in_doubt = true;
        session().reopen();
        Image& image = session().image();
        const CheckReport report = image.check();
        if (report.errors > 0) {
            throw Error(
                ErrorCode::failure,
                fmt::format("{} does not pass the check after the merge: {}; the backing files are kept",
                            session().path(), report.sentences.empty() ? "" : report.sentences.front()));
        }
        state().moved.compare(image.device());
        state().in_doubt = false;
    }
};

class RemoveStep final : public Step {
  public:
    explicit RemoveStep(std::vector<std::string> paths) : paths_(std::move(paths)) {}
    std::string kind() const override { return "merge.remove"; }
    std::string text() const override { return fmt::format("remove {}", fmt::join(paths_, ", ")); }
    std::string needs_no_undo() const override { return "nothing refers to these files any more"; }
    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        for (const std::string& path : paths_) {
            files.remove(path);
            files.sync_directory(directory_of(path));
        }
    }

  private:
    std::vector<std::string> paths_;
};

void refuse_snapshots(const std::vector<Image*>& chain) {
    for (Image* image : chain) {
        const ImageInfo& info = image->info();
        if (!info.snapshots.empty()) {
            throw Error(
                ErrorCode::unsupported,
                fmt::format("{}: Image has internal snapshots. Merge snapshots to proceed. A chain is only "
                            "merged when no image of it has any: \"prl_disk_tool merge --hdd {}\" first",
                            info.path, info.path),
                Reason::internal_snapshots);
        }
    }
}

void refuse_shared(Session& session, const std::vector<std::string>& backing, const MergeOptions& options,
                   Plan& plan) {
    const std::vector<std::string> users = other_users(session, backing);
    if (users.empty()) {
        return;
    }
    const std::string text = fmt::format("{}", fmt::join(users, "; "));
    if (!options.force_shared) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: another image still uses a backing file that the merge would take away: {}. "
                        "Merge or remove that first, or give --force-merge-shared and lose it",
                        session.path(), text),
            Reason::merge_shared);
    }
    plan.note(fmt::format("these will not be readable any more, as --force-merge-shared accepts: {}", text));
}

/// The base can take the result only if it is an image of the same kind that can be worked on, lies on the same
/// file system, and nothing is lost with the top's file.
std::string why_not_into_base(Session& session, Image& top, Image& base) {
    FileDoor& files = session.doors().files;
    const FileStatus top_file = files.status(top.info().path, false).value();
    const FileStatus base_file = files.status(base.info().path, false).value();
    if (base.info().format != top.info().format) {
        return fmt::format("the base is of format {}", base.info().format);
    }
    if (std::optional<Refusal> refusal = base.refusal(Capability::merge_external)) {
        return refusal->sentence;
    }
    if (top_file.links > 1 || base_file.links > 1) {
        return "a file of the chain has other names (hard links)";
    }
    if (top_file.device != base_file.device) {
        return "the base lies on another file system";
    }
    if (!top.info().bitmaps.empty() || !base.info().bitmaps.empty()) {
        return "change-tracking bitmaps stay with the top image";
    }
    return "";
}

void check_space(Session& session, Image& target, std::uint64_t bytes) {
    const std::uint64_t needed = bytes + metadata_reserve;
    const std::uint64_t available = session.doors().files.free_space(target.info().path);
    if (available < needed) {
        throw Error(
            ErrorCode::no_space,
            fmt::format("{}: Not enough free space ( needed: {} available: {} ), in bytes; nothing was changed",
                        target.info().path, needed, available));
    }
}

} // namespace

Plan plan_merge_snapshots(VerbContext& context) {
    Session& session = context.session;
    Image& image = session.image();
    const ImageInfo& info = image.info();
    Plan plan("merge", session.path());
    require(image, Capability::merge_internal);
    if (image.plan_merge_all(plan) || info.snapshots.empty()) {
        return plan;
    }
    std::vector<std::string> names;
    for (const SnapshotInfo& snapshot : info.snapshots) {
        names.push_back(fmt::format("\"{}\"", snapshot.name));
    }
    WorkCommit request;
    request.size = info.virtual_size;
    request.drop_snapshots = true;
    request.reserve = image.allocation() == Allocation::plain;
    plan.set_work({info.virtual_size, {}});
    plan.add(make_commit_step(request, fmt::format("the disk as it is, without the internal snapshot{} {}",
                                                   names.size() > 1 ? "s" : "", fmt::join(names, ", "))));
    return plan;
}

ExternalMergePlan plan_merge_external(VerbContext& context, const MergeOptions& options) {
    Session& session = context.session;
    Image& top = session.image();
    ExternalMergePlan result{Plan("merge", session.path()), MergeDirection::into_top, 0, {}};
    const std::vector<Image*> chain = chain_of(top);
    refuse_snapshots(chain);
    require(top, Capability::merge_external);
    if (top.plan_merge_all(result.plan) || chain.size() == 1) {
        return result;
    }
    Image& base = *chain.back();
    std::vector<std::string> backing;
    for (std::size_t i = 1; i < chain.size(); ++i) {
        backing.push_back(chain[i]->info().path);
    }
    refuse_shared(session, backing, options, result.plan);

    MergeSet into_top = below(top);
    const std::string obstacle = why_not_into_base(session, top, base);
    MergeSet into_base = obstacle.empty() ? above(top, base) : MergeSet{};
    const bool to_base = obstacle.empty() && into_base.bytes() < into_top.bytes();
    result.direction = to_base ? MergeDirection::into_base : MergeDirection::into_top;
    result.bytes = to_base ? into_base.bytes() : into_top.bytes();
    check_space(session, to_base ? base : top, result.bytes);
    if (!obstacle.empty()) {
        result.plan.note(fmt::format("the top image takes what shows through: {}", obstacle));
    } else {
        result.plan.note(fmt::format("{} are moved {}; the other way it would be {}", size_text(result.bytes),
                                     to_base ? "down into the base" : "up into the top",
                                     size_text(to_base ? into_top.bytes() : into_base.bytes())));
    }
    if (to_base && base.info().cluster_size != top.info().cluster_size) {
        result.plan.note(
            fmt::format("the result has the base's clusters of {}", size_text(base.info().cluster_size)));
    }

    auto state = std::make_shared<MergeState>(MergeState{session, result.direction, base.info().path,
                                                         to_base ? std::move(into_base) : std::move(into_top)});
    result.plan.add(std::make_unique<CopyStep>(state));
    result.removed = backing;
    if (to_base) {
        result.plan.set_successor(base.info().path);
        result.plan.add(std::make_unique<TakeNameStep>(state));
        result.removed.pop_back(); // it is the result
    }
    state->removed = result.removed;
    for (const std::string& path : result.removed) {
        result.plan.leaves_behind({path, false});
    }
    result.plan.add(std::make_unique<VerifyMergeStep>(state));
    if (!result.removed.empty()) {
        result.plan.add(std::make_unique<RemoveStep>(result.removed));
    }
    return result;
}

} // namespace disktool
