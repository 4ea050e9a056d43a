// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/disk_info.h"

#include "verb/discardable.h"
#include "verb/disk_minimum.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

DiskSurvey survey_as_asked(VerbContext& context, SurveyOptions options) {
    Session& session = context.session;
    if (context.engine != Engine::appliance) {
        return survey_disk(session.image().device(), session.registry(), options);
    }
    std::unique_ptr<Appliance> appliance = context.make_appliance();
    appliance->launch({session.path(), session.image().info().format, true}, context.cancel);
    DiskSurvey survey = survey_by_appliance(*appliance, options);
    appliance->shut_down();
    return survey;
}

} // namespace

ResizeInfo resize_info(VerbContext& context) {
    ResizeInfo info;
    info.survey = survey_as_asked(context, {.minimum_sizes = true});
    info.size = context.session.image().info().virtual_size;
    const DiskMinimum without_last = minimum_without_resize(info.survey, info.size);
    info.minimum_without_last = without_last.bytes;
    info.minimum_without_last_because = without_last.because;
    const Content* last = info.survey.last();
    const std::optional<DiskMinimum> with_last =
        last == nullptr ? std::nullopt : minimum_with_resize(info.survey, *last, info.size);
    info.last_is_fixed = !with_last;
    const DiskMinimum& least = with_last ? *with_last : without_last;
    info.minimum = least.bytes;
    info.minimum_because =
        !with_last && last != nullptr && last->problem ? last->problem->sentence : least.because;
    return info;
}

namespace {

/// The figures above it stand without the estimate, so that what forbids a compact is told and no error: an
/// image whose refcounts lag behind, as those of a running VM may, can still be looked at.
void estimate(VerbContext& context, CompactInfo& info) {
    Image& image = context.session.image();
    if (std::optional<Refusal> refusal = image.refusal(Capability::compact)) {
        info.why_no_estimate = refusal->sentence;
        return;
    }
    Discardable discardable = find_discardable(info.survey, info.size);
    info.discardable_gaps = discardable.in_gaps;
    try {
        info.estimate = image.estimate_compact(discardable.bytes);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::damaged) {
            throw;
        }
        info.why_no_estimate = error.what();
    }
}

} // namespace

CompactInfo compact_info(VerbContext& context) {
    CompactInfo info;
    Image& image = context.session.image();
    info.survey = survey_as_asked(context, {});
    info.size = image.info().virtual_size;
    info.allocated = image.info().allocated;
    info.used = info.size;
    info.survey.each([&](const Content& content) {
        if (content.usage) {
            info.used -= std::min(info.used, content.usage->free);
        }
    });
    if (info.survey.engine == "native") {
        estimate(context, info);
    }
    return info;
}

} // namespace disktool
