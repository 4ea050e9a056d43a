// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/compact.h"

#include "verb/appliance_trim.h"
#include "verb/discardable.h"
#include "verb/refusal.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace disktool {

namespace {

/// A disk of which nothing is understood is not called compacted.
void refuse_if_nothing_known(const DiskSurvey& survey, const std::string& path) {
    if (survey.blank()) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: No partitions found, and no file system on the whole disk is known, so nothing "
                        "can be called free; nothing was changed",
                        path),
            Reason::no_partition_table);
    }
    bool any = false;
    const Content* encrypted = nullptr;
    survey.each([&](const Content& content) {
        any = any || (content.opened() && content.state.reason != Reason::encrypted) ||
              (content.problem && content.problem->code != ErrorCode::unsupported);
        if (content.problem && content.problem->reason == Reason::encrypted) {
            encrypted = &content;
        }
    });
    if (!any && encrypted != nullptr) {
        throw Error(ErrorCode::unsupported, fmt::format("{}: {}", path, encrypted->problem->sentence),
                    Reason::encrypted);
    }
    if (!any) {
        std::vector<std::string> found;
        for (const Content& content : survey.contents) {
            found.push_back(content.text());
        }
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: Unsupported filesystem: no plugin knows how to find the free space of {}; try "
                        "--engine appliance",
                        path, fmt::join(found, ", ")),
            Reason::filesystem_not_supported);
    }
}

/// File systems that the appliance can put right by mounting them; any other damage stops the verb.
std::vector<std::string> contents_for_appliance(const DiskSurvey& survey, Engine engine) {
    std::vector<std::string> devices;
    survey.each([&](const Content& content) {
        if (!content.problem || content.problem->code == ErrorCode::unsupported) {
            return;
        }
        if (!content.state.appliance_can_help) {
            throw Error(content.problem->code, content.problem->sentence + "; nothing was changed",
                        content.problem->reason);
        }
        if (engine == Engine::native) {
            throw Error(
                ErrorCode::damaged,
                content.problem->sentence +
                    "; its free map cannot be trusted, and --engine native forbids the appliance that would "
                    "replay the journal; nothing was changed",
                content.problem->reason);
        }
        devices.push_back(appliance_device(content));
    });
    return devices;
}

/// From the end of the disk: what lies last is the last to be used again.
ExtentSet chosen(BlockDevice& disk, const ExtentSet& discardable, const CompactOptions& options) {
    const auto stored = [&](const Range& range) {
        std::uint64_t bytes = 0;
        for (const Extent& extent : disk.extents(range)) {
            bytes += extent.kind == ExtentKind::data ? extent.range.length : 0;
        }
        return bytes;
    };
    std::vector<Range> taken;
    std::uint64_t bytes = 0;
    std::vector<Range> all(discardable.begin(), discardable.end());
    for (auto range = all.rbegin(); range != all.rend(); ++range) {
        if (options.enough != 0 && bytes >= options.enough) {
            break;
        }
        if (range->length >= options.smallest) {
            taken.push_back(*range);
            bytes += options.enough != 0 ? stored(*range) : 0;
        }
    }
    ExtentSet result;
    for (auto range = taken.rbegin(); range != taken.rend(); ++range) {
        result.append(*range);
    }
    return result;
}

} // namespace

CompactPlan plan_compact(VerbContext& context, const CompactOptions& options) {
    Session& session = context.session;
    Image& image = session.image();
    CompactPlan result{Plan("compact", session.path()), {}, image.info().allocated};
    require(image, Capability::compact);
    if (context.engine == Engine::appliance) {
        result.plan.note("the appliance does the work, as --engine asks");
        plan_appliance_trim(result.plan, image.info().virtual_size, {});
        return result;
    }
    DiskSurvey survey = survey_disk(image.device(), session.registry(), {});
    refuse_if_nothing_known(survey, session.path());
    std::vector<std::string> for_appliance = contents_for_appliance(survey, context.engine);
    for (const std::string& warning : survey.table.warnings) {
        result.plan.note(warning);
    }
    Discardable discardable = find_discardable(survey, image.info().virtual_size);
    for (std::string& note : discardable.notes) {
        result.plan.note(std::move(note));
    }
    const bool all = options.smallest == 0 && options.enough == 0;
    result.estimate = image.plan_compact(result.plan, all ? discardable.bytes
                                                          : chosen(image.device(), discardable.bytes, options));
    if (result.estimate->shared > 0) {
        result.plan.note(fmt::format("{} of free space is kept, since internal snapshots share it",
                                     size_text(result.estimate->shared)));
    }
    if (!for_appliance.empty()) {
        result.plan.note(
            "the appliance is needed: the journal of a file system must be replayed before its free map "
            "can be trusted");
        plan_appliance_trim(result.plan, image.info().virtual_size, std::move(for_appliance));
    }
    return result;
}

} // namespace disktool
