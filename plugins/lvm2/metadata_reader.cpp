// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metadata_reader.h"

#include "damage.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::lvm2 {

namespace {

constexpr std::size_t longest_name = 127; // NAME_LEN of lvm2, without its NUL

bool plain_letter(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-' || c == '+';
}

} // namespace

Error MetadataReader::damaged(std::string_view what) const {
    return damage(device_, fmt::format("its metadata text (at byte {}) {}", metadata_.place, what));
}

ConfigNode MetadataReader::parse() const {
    try {
        return parse_config(metadata_.text);
    } catch (const ConfigError& error) {
        throw damaged(fmt::format("cannot be read: {} (at byte {} of it)", error.what(), error.offset()));
    }
}

const ConfigNode& MetadataReader::group(const ConfigNode& root) const {
    const ConfigNode* found = nullptr;
    for (const ConfigNode& child : root.children) {
        if (!child.section)
            continue;
        if (found != nullptr)
            throw damaged("describes two volume groups");
        found = &child;
    }
    if (found == nullptr)
        throw damaged("describes no volume group");
    check_name(found->name);
    return *found;
}

const ConfigNode& MetadataReader::section(const ConfigNode& parent, std::string_view name) const {
    const ConfigNode* child = parent.find(name);
    if (child == nullptr || !child->section)
        throw damaged(fmt::format("has no section \"{}\" in \"{}\"", name, parent.name));
    return *child;
}

std::uint64_t MetadataReader::number(const ConfigNode& parent, std::string_view name,
                                     std::uint64_t limit) const {
    const ConfigNode* child = parent.find(name);
    const std::int64_t* value = nullptr;
    if (child != nullptr && child->values.size() == 1)
        value = std::get_if<std::int64_t>(&child->values.front());
    if (value == nullptr)
        throw damaged(fmt::format("has no number \"{}\" in \"{}\"", name, parent.name));
    if (*value < 0 || static_cast<std::uint64_t>(*value) > limit)
        throw damaged(fmt::format("says {} = {} in \"{}\"", name, *value, parent.name));
    return static_cast<std::uint64_t>(*value);
}

std::uint64_t MetadataReader::number(const ConfigNode& parent, std::string_view name, std::uint64_t limit,
                                     std::uint64_t missing) const {
    return parent.find(name) == nullptr ? missing : number(parent, name, limit);
}

std::string MetadataReader::text(const ConfigNode& parent, std::string_view name) const {
    const ConfigNode* child = parent.find(name);
    const std::string* value = nullptr;
    if (child != nullptr && child->values.size() == 1)
        value = std::get_if<std::string>(&child->values.front());
    if (value == nullptr)
        throw damaged(fmt::format("has no string \"{}\" in \"{}\"", name, parent.name));
    return *value;
}

std::string MetadataReader::optional_text(const ConfigNode& parent, std::string_view name) const {
    return parent.find(name) == nullptr ? std::string() : text(parent, name);
}

std::vector<std::string> MetadataReader::texts(const ConfigNode& parent, std::string_view name) const {
    std::vector<std::string> result;
    const ConfigNode* child = parent.find(name);
    if (child == nullptr)
        return result;
    for (const ConfigValue& value : child->values) {
        const std::string* item = std::get_if<std::string>(&value);
        if (item == nullptr)
            throw damaged(
                fmt::format("has something else than strings in the list \"{}\" of \"{}\"", name, parent.name));
        result.push_back(*item);
    }
    return result;
}

std::string MetadataReader::uuid(const ConfigNode& parent) const {
    std::string value = text(parent, "id");
    std::erase(value, '-');
    if (value.size() != 32)
        throw damaged(fmt::format("has no UUID in \"{}\"", parent.name));
    return value;
}

void MetadataReader::check_name(const std::string& name) const {
    if (name.empty() || name.size() > longest_name || !std::ranges::all_of(name, plain_letter) || name == "." ||
        name == "..")
        throw damaged("has a name that LVM does not allow");
}

} // namespace disktool::lvm2
