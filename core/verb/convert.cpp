// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/convert.h"

#include "verb/copy_disk.h"
#include "verb/refusal.h"
#include "verb/work_steps.h"
#include "verb/zero_clusters.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace disktool {

namespace {

void refuse_snapshots(const Session& session, const ImageInfo& info) {
    if (!info.snapshots.empty()) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: Image has internal snapshots. Merge snapshots to proceed. (\"prl_disk_tool merge "
                        "--hdd {}\": the disk keeps its present content.)",
                        session.path(), session.path()),
            Reason::internal_snapshots);
    }
}

void refuse_backing(const Session& session, const ImageInfo& info) {
    if (info.chain.size() > 1) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{} is based on {}, so a part of its disk is not its own; merge the chain first "
                        "(\"prl_disk_tool merge --external --hdd {}\")",
                        session.path(), info.chain[1].path, session.path()),
            Reason::capability_missing);
    }
}

/// Searches for zeros when it runs, since that means to read all that is stored, and frees them as a compact
/// does.
class FreeZerosStep final : public Step {
  public:
    FreeZerosStep(Session& session, std::uint64_t to_search) : session_(session), to_search_(to_search) {}

    std::string kind() const override { return "convert.free-zeros"; }
    std::string text() const override {
        return fmt::format("look through {} and give back what holds only zeros", size_text(to_search_));
    }
    Cost cost() const override {
        Cost cost;
        cost.read = to_search_;
        return cost;
    }
    std::string needs_no_undo() const override {
        return "what is given back reads as zeros afterwards as before, and every stage leaves a valid image";
    }
    void commit(StepContext& context) override {
        Image& image = session_.image();
        const ExtentSet zeros =
            find_zero_clusters(image, context.cancel(), [&](std::uint64_t bytes) { context.advance(bytes); });
        Plan inner("convert", session_.path());
        const CompactEstimate estimate = image.plan_compact(inner, zeros);
        context.report("zero_clusters", estimate.clusters);
        for (const std::unique_ptr<Step>& step : inner.steps()) {
            step->commit(context);
        }
    }

  private:
    Session& session_;
    std::uint64_t to_search_;
};

} // namespace

Plan plan_convert_to_plain(VerbContext& context) {
    Session& session = context.session;
    Image& image = session.image();
    const ImageInfo& info = image.info();
    Plan plan("convert", session.path());
    refuse_snapshots(session, info);
    require(image, Capability::convert);
    refuse_backing(session, info);
    if (image.allocation() == Allocation::plain) {
        return plan;
    }
    const std::uint64_t missing = info.virtual_size - std::min(info.virtual_size, info.allocated);
    const std::uint64_t available = session.doors().files.free_space(session.path());
    if (available < missing) {
        throw Error(
            ErrorCode::no_space,
            fmt::format("{}: Not enough free space ( needed: {} available: {} ), in bytes; nothing was changed",
                        session.path(), missing, available));
    }
    WorkCommit request;
    request.size = info.virtual_size;
    request.reserve = true;
    plan.set_work({info.virtual_size, {}});
    plan.add(make_commit_step(request, fmt::format("every cluster of the {} has its place on the host",
                                                   size_text(info.virtual_size))));
    return plan;
}

Plan plan_convert_to_expanding(VerbContext& context) {
    Session& session = context.session;
    Image& image = session.image();
    Plan plan("convert", session.path());
    refuse_snapshots(session, image.info());
    require(image, Capability::compact);
    if (const std::uint64_t to_search = bytes_to_search(image); to_search > 0) {
        plan.add(std::make_unique<FreeZerosStep>(session, to_search));
    }
    return plan;
}

Plan plan_convert_format(VerbContext& context, const FormatConversion& conversion) {
    Session& session = context.session;
    Plan plan("convert", session.path());
    if (session.registry().find(conversion.format) == nullptr ||
        session.registry().find(conversion.format)->kind != PluginKind::format) {
        std::string known;
        for (const PluginManifest* manifest : session.registry().of_kind(PluginKind::format)) {
            known += (known.empty() ? "" : ", ") + manifest->name;
        }
        throw Error(ErrorCode::usage,
                    fmt::format("there is no format \"{}\"; these are known: {}", conversion.format, known));
    }
    if (session.doors().files.status(conversion.output, false)) {
        throw Error(ErrorCode::usage,
                    fmt::format("{} exists already; it is not overwritten. Name another file with --output",
                                conversion.output));
    }
    const ImageInfo& info = session.image().info();
    if (!info.snapshots.empty()) {
        plan.note("internal snapshots are not taken along; the new image holds the disk as it is now");
    }
    plan_copy_disk(session, conversion, plan);
    return plan;
}

} // namespace disktool
