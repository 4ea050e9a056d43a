// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/survey.h"

#include "verb/volume_sizes.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool {

namespace {

Problem problem_of(const Content& content, const Error& error) {
    return {error.code(), error.reason(), fmt::format("{}: {}", content.text(), error.what())};
}

/// Takes over what the plugin tells of state and usage; true where the rest can be believed.
template <typename Opened>
bool examine_state(Content& content, Opened& opened) {
    content.type = opened.type();
    content.state = opened.state();
    content.usage = opened.usage();
    content.details = opened.details();
    if (!content.state.free_map_trusted) {
        const ErrorCode code =
            content.state.reason == Reason::encrypted ? ErrorCode::unsupported : ErrorCode::damaged;
        content.problem =
            Problem{code, content.state.reason, fmt::format("{}: {}", content.text(), content.state.sentence)};
    }
    return content.state.free_map_trusted;
}

/// Opens the file system by its plugin and reads its figures.
void examine_filesystem(Content& content, BlockDevice& device, const std::string& plugin, Registry& registry,
                        SurveyOptions options) {
    try {
        content.filesystem = registry.filesystem(plugin).open(device);
        if (examine_state(content, *content.filesystem) && options.minimum_sizes) {
            content.minimum = content.filesystem->minimum_size();
        }
    } catch (const Error& error) {
        content.problem = problem_of(content, error);
    }
}

/// What lies on a partition, a disk or a volume, unless it is divided into volumes.
void examine_plain(Content& content, BlockDevice& device, Registry& registry, SurveyOptions options) {
    if (std::optional<std::string> plugin = registry.probe_filesystem(device)) {
        content.type = *plugin; // until it is opened and tells its own
        examine_filesystem(content, device, *plugin, registry, options);
        return;
    }
    content.type = identify_content(device).value_or("");
    std::string what = content.type.empty()
                           ? "it holds nothing that is recognised"
                           : fmt::format("no plugin knows how to work with \"{}\"", content.type);
    content.problem = Problem{ErrorCode::unsupported, Reason::filesystem_not_supported,
                              fmt::format("{}: {}; it is left as it is", content.text(), what)};
}

Content examine_volume(const Volume& volume, int partition, Registry& registry, SurveyOptions options) {
    Content content;
    content.partition = partition;
    content.volume = volume.name;
    content.range = {0, volume.size()};
    if (volume.device == nullptr) {
        content.problem =
            Problem{ErrorCode::unsupported, volume.reason,
                    fmt::format("{}: it {}; it is left as it is", content.text(), volume.problem)};
        return content;
    }
    examine_plain(content, *volume.device, registry, options);
    return content;
}

void examine_volumes(Content& content, const std::string& plugin, Registry& registry, SurveyOptions options) {
    content.type = plugin;
    try {
        content.volumes = registry.volumes(plugin).open(*content.window);
        if (!examine_state(content, *content.volumes)) {
            return;
        }
        for (const Volume& volume : content.volumes->volumes()) {
            content.inner.push_back(examine_volume(volume, content.partition, registry, options));
        }
        if (options.minimum_sizes) {
            content.minimum = minimum_of_volumes(content);
        }
    } catch (const Error& error) {
        content.problem = problem_of(content, error);
    }
}

Content examine_range(BlockDevice& disk, Registry& registry, int number, Range range, SurveyOptions options) {
    Content content;
    content.partition = number;
    content.range = range;
    std::string name = number == 0 ? disk.name() : fmt::format("{} partition {}", disk.name(), number);
    content.window = std::make_unique<Window>(disk, range, std::move(name));
    if (std::optional<std::string> plugin = registry.probe_volumes(*content.window)) {
        examine_volumes(content, *plugin, registry, options);
    } else {
        examine_plain(content, *content.window, registry, options);
    }
    return content;
}

} // namespace

std::string Content::text() const {
    std::string place = !volume.empty()  ? "volume " + volume
                        : partition == 0 ? "the whole disk"
                                         : fmt::format("partition {}", partition);
    return type.empty() ? place : fmt::format("{} ({})", place, type);
}

const Content* DiskSurvey::last() const {
    auto it = std::max_element(contents.begin(), contents.end(), [](const Content& a, const Content& b) {
        return a.range.offset < b.range.offset;
    });
    return it == contents.end() ? nullptr : &*it;
}

Content* DiskSurvey::last() {
    return const_cast<Content*>(std::as_const(*this).last());
}

bool DiskSurvey::dirty() const {
    bool found = false;
    each([&](const Content& content) {
        found = found || (!content.state.clean() && content.state.reason != Reason::encrypted);
    });
    return found;
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
