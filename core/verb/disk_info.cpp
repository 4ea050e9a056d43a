// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/disk_info.h"

#include "verb/discardable.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

/// What must lie behind the last partition: GPT's backup header and 128 entries of 128 bytes
/// (UEFI 2.10, 5.3.1), nothing for MBR.
std::uint64_t table_tail(const PartitionTable& table) {
    return table.type == TableType::gpt ? table.sector_size + 16 * KiB : 0;
}

/// A disk that ends right behind `content_end`, in whole MiB as resize takes them.
std::uint64_t disk_for(std::uint64_t content_end, const PartitionTable& table, std::uint64_t disk_size) {
    return std::min(round_up(content_end + table_tail(table), MiB), disk_size);
}

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
    const Content* last = info.survey.last();
    if (last == nullptr) {
        info.minimum = info.minimum_without_last = info.size;
        info.minimum_because = info.minimum_without_last_because =
            "a disk with no table and nothing known on it may hold anything";
        info.last_is_fixed = true;
        return info;
    }
    const PartitionTable& table = info.survey.table;
    info.minimum_without_last = disk_for(last->range.end(), table, info.size);
    info.minimum_without_last_because =
        fmt::format("{} ends at {}", last->text(), exact_size_text(last->range.end()));
    if (last->minimum && last->minimum->bytes <= last->range.length) {
        info.minimum = disk_for(last->range.offset + last->minimum->bytes, table, info.size);
        info.minimum_because = fmt::format("{} starts at {} and its file system needs {}: {}", last->text(),
                                           exact_size_text(last->range.offset),
                                           exact_size_text(last->minimum->bytes), last->minimum->sentence);
    } else {
        info.last_is_fixed = true;
        info.minimum = info.minimum_without_last;
        info.minimum_because = last->problem ? last->problem->sentence : info.minimum_without_last_because;
    }
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
    for (const Content& content : info.survey.contents) {
        if (content.usage) {
            info.used -= std::min(info.used, content.usage->free);
        }
    }
    if (info.survey.engine == "native") {
        estimate(context, info);
    }
    return info;
}

} // namespace disktool
