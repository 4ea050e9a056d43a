// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/survey.h"

#include <fmt/format.h>

#include <map>

namespace disktool {

namespace {

/// The appliance's disk is /dev/sda whatever its bus; partition N is /dev/sdaN.
int partition_number(const std::string& device) {
    std::size_t digits = device.find_first_of("0123456789");
    return digits == std::string::npos ? 0 : std::stoi(device.substr(digits));
}

void examine(Content& content, Appliance& appliance, const ApplianceFilesystem& found, SurveyOptions options) {
    try {
        ApplianceUsage usage = appliance.usage(found.device);
        FilesystemUsage figures;
        figures.size = usage.size;
        figures.free = usage.free;
        figures.block_size = static_cast<std::uint32_t>(usage.block_size);
        figures.label = found.label;
        figures.uuid = found.uuid;
        content.usage = std::move(figures);
        if (options.minimum_sizes) {
            if (std::optional<std::uint64_t> least = appliance.minimum_size(found.device)) {
                content.minimum = MinimumSize{*least, Reason::used_blocks,
                                              "as the file system's own tool says in the appliance"};
            }
        }
    } catch (const Error& error) {
        content.problem = Problem{ErrorCode::unsupported, Reason::filesystem_not_supported,
                                  fmt::format("{}: {}", content.text(), error.what())};
    }
}

} // namespace

DiskSurvey survey_by_appliance(Appliance& appliance, SurveyOptions options) {
    DiskSurvey survey;
    survey.engine = "appliance";
    std::map<int, ApplianceFilesystem> found;
    for (ApplianceFilesystem& filesystem : appliance.filesystems()) {
        found.emplace(partition_number(filesystem.device), filesystem);
    }
    std::optional<std::string> type = appliance.table_type();
    if (!type) {
        if (auto whole = found.find(0); whole != found.end() && whole->second.type != "unknown") {
            Content content;
            content.range = {0, appliance.disk_size()};
            content.type = whole->second.type;
            examine(content, appliance, whole->second, options);
            survey.contents.push_back(std::move(content));
        }
        return survey;
    }
    survey.table.type = *type == "gpt" ? TableType::gpt : TableType::mbr;
    for (const AppliancePartition& partition : appliance.partitions()) {
        Partition entry;
        entry.number = partition.number;
        entry.range = {partition.offset, partition.length};
        auto filesystem = found.find(partition.number);
        entry.extended = filesystem == found.end();
        survey.table.partitions.push_back(entry);
        if (entry.extended) {
            continue; // the appliance lists a file system, if only "unknown", for every other partition
        }
        Content content;
        content.partition = partition.number;
        content.range = entry.range;
        content.type = filesystem->second.type == "unknown" ? "" : filesystem->second.type;
        examine(content, appliance, filesystem->second, options);
        survey.contents.push_back(std::move(content));
    }
    return survey;
}

} // namespace disktool
