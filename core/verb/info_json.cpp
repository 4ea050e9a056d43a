// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/info_json.h"

#include "plan/plan_text.h"

namespace disktool {

namespace {

Json range_json(Range range) {
    return {{"offset", range.offset}, {"length", range.length}};
}

Json snapshot_json(const SnapshotInfo& snapshot) {
    return {{"id", snapshot.id},
            {"name", snapshot.name},
            {"virtual_size", snapshot.virtual_size},
            {"vm_state_size", snapshot.vm_state_size},
            {"created", snapshot.created}};
}

Json bitmap_json(const BitmapInfo& bitmap) {
    return {{"name", bitmap.name},
            {"granularity", bitmap.granularity},
            {"recording", bitmap.recording},
            {"in_use", bitmap.in_use}};
}

Json partition_json(const Partition& partition) {
    Json json = {{"number", partition.number},     {"range", range_json(partition.range)},
                 {"type", partition.type},         {"type_name", partition.type_name},
                 {"bootable", partition.bootable}, {"extended", partition.extended},
                 {"logical", partition.logical}};
    if (!partition.name.empty()) {
        json["name"] = partition.name;
    }
    if (!partition.uuid.empty()) {
        json["uuid"] = partition.uuid;
    }
    return json;
}

Json problem_json(const Problem& problem) {
    return {{"code", name(problem.code)}, {"reason", name(problem.reason)}, {"message", problem.sentence}};
}

Json content_json(const Content& content) {
    Json json = {{"partition", content.partition}};
    if (!content.volume.empty()) {
        json["volume"] = content.volume;
    }
    json["range"] = range_json(content.range);
    json["type"] = content.type;
    json["clean"] = content.state.clean();
    if (!content.state.clean()) {
        json["state"] = {{"reason", name(content.state.reason)}, {"message", content.state.sentence}};
    }
    if (content.usage) {
        json["usage"] = {{"size", content.usage->size},
                         {"free", content.usage->free},
                         {"used", content.usage->size - content.usage->free},
                         {"block_size", content.usage->block_size},
                         {"label", content.usage->label},
                         {"uuid", content.usage->uuid}};
    }
    if (content.minimum) {
        json["minimum"] = {{"bytes", content.minimum->bytes},
                           {"reason", name(content.minimum->reason)},
                           {"because", content.minimum->sentence}};
    }
    if (content.problem) {
        json["problem"] = problem_json(*content.problem);
    }
    if (!content.details.empty()) {
        json["details"] = details_json(content.details);
    }
    if (!content.inner.empty()) {
        json["volumes"] = Json::array();
        for (const Content& inner : content.inner) {
            json["volumes"].push_back(content_json(inner));
        }
    }
    return json;
}

} // namespace

Json image_json(const ImageInfo& info) {
    Json json = {
        {"path", info.path},           {"format", info.format},       {"virtual_size", info.virtual_size},
        {"allocated", info.allocated}, {"file_size", info.file_size}, {"cluster_size", info.cluster_size},
        {"dirty", info.dirty},         {"corrupt", info.corrupt},     {"encrypted", info.encrypted}};
    if (!info.data_file.empty()) {
        json["data_file"] = info.data_file;
    }
    json["chain"] = Json::array();
    for (const ChainMember& member : info.chain) {
        json["chain"].push_back({{"path", member.path},
                                 {"format", member.format},
                                 {"virtual_size", member.virtual_size},
                                 {"allocated", member.allocated}});
    }
    json["snapshots"] = Json::array();
    for (const SnapshotInfo& snapshot : info.snapshots) {
        json["snapshots"].push_back(snapshot_json(snapshot));
    }
    json["bitmaps"] = Json::array();
    for (const BitmapInfo& bitmap : info.bitmaps) {
        json["bitmaps"].push_back(bitmap_json(bitmap));
    }
    json["details"] = details_json(info.details);
    return json;
}

Json survey_json(const DiskSurvey& survey) {
    Json table = {{"type", survey.table.type_text()}};
    if (!survey.table.id.empty()) {
        table["id"] = survey.table.id;
    }
    table["warnings"] = survey.table.warnings;
    table["partitions"] = Json::array();
    for (const Partition& partition : survey.table.partitions) {
        table["partitions"].push_back(partition_json(partition));
    }
    Json contents = Json::array();
    for (const Content& content : survey.contents) {
        contents.push_back(content_json(content));
    }
    return {{"engine", survey.engine}, {"table", std::move(table)}, {"contents", std::move(contents)}};
}

Json resize_info_json(const ResizeInfo& info) {
    return {{"size", info.size},
            {"minimum", info.minimum},
            {"minimum_because", info.minimum_because},
            {"minimum_without_resizing_last_partition", info.minimum_without_last},
            {"minimum_without_resizing_last_partition_because", info.minimum_without_last_because},
            {"last_partition_is_fixed", info.last_is_fixed},
            {"dirty", info.survey.dirty()}};
}

Json estimate_json(const CompactEstimate& estimate) {
    return {{"allocated", estimate.allocated},
            {"reclaimable", estimate.reclaimable},
            {"clusters", estimate.clusters},
            {"leaked", estimate.leaked},
            {"shared_with_snapshots", estimate.shared}};
}

Json compact_info_json(const CompactInfo& info) {
    Json json = {{"size", info.size},
                 {"allocated", info.allocated},
                 {"used", info.used},
                 {"outside_partitions", info.discardable_gaps},
                 {"dirty", info.survey.dirty()}};
    if (info.estimate) {
        json["estimate"] = estimate_json(*info.estimate);
    } else if (!info.why_no_estimate.empty()) {
        json["no_estimate_because"] = info.why_no_estimate;
    }
    return json;
}

Json error_json(const Error& error) {
    Json json = {{"code", name(error.code())}, {"exit_code", static_cast<int>(error.code())}};
    if (error.reason() != Reason::none) {
        json["reason"] = name(error.reason());
    }
    json["message"] = error.what();
    return json;
}

} // namespace disktool
