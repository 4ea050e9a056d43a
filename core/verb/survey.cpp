// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/survey.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

/// Opens the file system by its plugin and reads its figures.
void examine(Content& content, const std::string& plugin, Registry& registry, SurveyOptions options) {
    try {
        content.filesystem = registry.filesystem(plugin).open(*content.window);
        Filesystem& filesystem = *content.filesystem;
        content.type = filesystem.type();
        content.state = filesystem.state();
        content.usage = filesystem.usage();
        content.details = filesystem.details();
        if (!content.state.free_map_trusted) {
            content.problem = Problem{ErrorCode::damaged, content.state.reason,
                                      fmt::format("{}: {}", content.text(), content.state.sentence)};
        } else if (options.minimum_sizes) {
            content.minimum = filesystem.minimum_size();
        }
    } catch (const Error& error) {
        content.problem =
            Problem{error.code(), error.reason(), fmt::format("{}: {}", content.text(), error.what())};
    }
}

Content examine_range(BlockDevice& disk, Registry& registry, int number, Range range, SurveyOptions options) {
    Content content;
    content.partition = number;
    content.range = range;
    std::string name = number == 0 ? disk.name() : fmt::format("{} partition {}", disk.name(), number);
    content.window = std::make_unique<Window>(disk, range, std::move(name));
    if (std::optional<std::string> plugin = registry.probe_filesystem(*content.window)) {
        content.type = *plugin; // until it is opened and tells its own
        examine(content, *plugin, registry, options);
        return content;
    }
    content.type = identify_content(*content.window).value_or("");
    std::string what = content.type.empty()
                           ? "it holds nothing that is recognised"
                           : fmt::format("no plugin knows how to work with \"{}\"", content.type);
    content.problem = Problem{ErrorCode::unsupported, Reason::filesystem_not_supported,
                              fmt::format("{}: {}; it is left as it is", content.text(), what)};
    return content;
}

} // namespace

std::string Content::text() const {
    std::string place = partition == 0 ? "the whole disk" : fmt::format("partition {}", partition);
    return type.empty() ? place : fmt::format("{} ({})", place, type);
}

const Content* DiskSurvey::last() const {
    auto it = std::max_element(contents.begin(), contents.end(), [](const Content& a, const Content& b) {
        return a.range.offset < b.range.offset;
    });
    return it == contents.end() ? nullptr : &*it;
}

bool DiskSurvey::dirty() const {
    return std::any_of(contents.begin(), contents.end(),
                       [](const Content& content) { return !content.state.clean(); });
}

DiskSurvey survey_disk(BlockDevice& disk, Registry& registry, SurveyOptions options) {
    DiskSurvey survey;
    survey.engine = "native";
    survey.table = read_partition_table(disk);
    if (survey.table.type == TableType::none) {
        Content whole = examine_range(disk, registry, 0, {0, disk.size()}, options);
        if (!whole.type.empty()) {
            survey.contents.push_back(std::move(whole));
        }
        return survey;
    }
    for (const Partition& partition : survey.table.partitions) {
        if (!partition.extended) {
            survey.contents.push_back(
                examine_range(disk, registry, partition.number, partition.range, options));
        }
    }
    return survey;
}

} // namespace disktool
