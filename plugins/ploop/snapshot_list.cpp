// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapshot_list.h"

#include "ploop_error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <vector>

namespace disktool::ploop {
namespace {

struct Row {
    const SnapshotEntry* snapshot;
    bool current;
    std::string file;
};

struct Field {
    std::string_view name;
    std::string_view title;
    std::size_t width;
    std::string (*value)(const Row&);
};

constexpr std::array<Field, 4> all_fields = {{
    {"parent_uuid", "PARENT_UUID", 38, [](const Row& row) { return row.snapshot->parent.text(); }},
    {"current", "C", 1, [](const Row& row) { return std::string(row.current ? "*" : ""); }},
    {"uuid", "UUID", 38, [](const Row& row) { return row.snapshot->uuid.text(); }},
    {"fname", "FNAME", 32, [](const Row& row) { return row.file; }},
}};

/// In bytes, as printf counts.
std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text + " ";
}

[[noreturn]] void refuse(const std::string& sentence) {
    throw PloopError(Exit::no_memory_or_failure, ErrorCode::usage, sentence);
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return result;
}

std::vector<Field> chosen_fields(const std::string& names) {
    if (names.empty()) {
        return {all_fields.begin(), all_fields.end()};
    }
    std::vector<Field> fields;
    for (std::size_t begin = 0; begin <= names.size();) {
        const std::size_t end = std::min(names.find(',', begin), names.size());
        const std::string name = names.substr(begin, end - begin);
        const auto found = std::find_if(all_fields.begin(), all_fields.end(),
                                        [&](const Field& field) { return field.name == lower(name); });
        if (found == all_fields.end()) {
            refuse(fmt::format("Unknown field: {}", name));
        }
        fields.push_back(*found);
        begin = end + 1;
    }
    return fields;
}

/// In the order of the Shot elements; with -u from the snapshot down to its base.
std::vector<const SnapshotEntry*> chosen_snapshots(const Descriptor& descriptor,
                                                   const std::optional<Uuid>& uuid) {
    std::vector<const SnapshotEntry*> chosen;
    if (!uuid) {
        for (const SnapshotEntry& entry : descriptor.snapshots) {
            chosen.push_back(&entry);
        }
        return chosen;
    }
    if (descriptor.snapshot(*uuid) == nullptr) {
        refuse(fmt::format("Can't find snapshot by uuid {}", uuid->text()));
    }
    for (const Uuid& step : descriptor.chain(*uuid)) {
        chosen.push_back(descriptor.snapshot(step));
    }
    std::reverse(chosen.begin(), chosen.end());
    return chosen;
}

std::vector<Row> rows(const Descriptor& descriptor, const SnapshotListOptions& options) {
    std::map<std::string, const ImageEntry*> images;
    for (const ImageEntry& entry : descriptor.images) {
        images.emplace(entry.uuid.lower(), &entry);
    }
    const SnapshotEntry* top = descriptor.snapshot(descriptor.top);
    const Uuid current = options.snapshots && top != nullptr ? top->parent : descriptor.top;
    std::vector<Row> result;
    for (const SnapshotEntry* entry : chosen_snapshots(descriptor, options.uuid)) {
        if (options.snapshots && entry->uuid == descriptor.top) {
            continue;
        }
        const auto image = images.find(entry->uuid.lower());
        std::string file;
        if (image != images.end()) {
            file = options.path_of ? options.path_of(*image->second) : image->second->path;
        }
        result.push_back({entry, entry->uuid == current, std::move(file)});
    }
    return result;
}

} // namespace

std::string snapshot_list_text(const Descriptor& descriptor, const SnapshotListOptions& options) {
    const std::vector<Field> fields = chosen_fields(options.fields);
    const std::vector<Row> lines = rows(descriptor, options);
    std::string text;
    if (options.header) {
        // Each title is padded and followed by a blank, the last one, too.
        for (const Field& field : fields) {
            text += padded(std::string(field.title), field.width);
        }
        text += "\n";
    }
    for (const Row& row : lines) {
        for (const Field& field : fields) {
            const bool last = &field == &fields.back();
            text += last ? field.value(row) : padded(field.value(row), field.width);
        }
        text += "\n";
    }
    return text;
}

nlohmann::json snapshot_list_json(const Descriptor& descriptor, const SnapshotListOptions& options) {
    nlohmann::json list = nlohmann::json::array();
    for (const Row& row : rows(descriptor, options)) {
        list.push_back({{"uuid", row.snapshot->uuid.text()},
                        {"parent_uuid", row.snapshot->parent.text()},
                        {"current", row.current},
                        {"temporary", row.snapshot->temporary},
                        {"fname", row.file}});
    }
    return list;
}

} // namespace disktool::ploop
