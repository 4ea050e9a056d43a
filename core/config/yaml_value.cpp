// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/yaml_value.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace disktool {

YamlValue::YamlValue(const YAML::Node& node, std::string file, std::string name)
    : node_(node), file_(std::move(file)), name_(std::move(name)) {}

YamlValue YamlValue::parse(const std::string& text, const std::string& file) {
    try {
        YAML::Node root = YAML::Load(text);
        if (root.IsNull()) {
            root = YAML::Node(YAML::NodeType::Map);
        }
        return {root, file, "the document"};
    } catch (const YAML::Exception& error) {
        throw Error(ErrorCode::usage,
                    fmt::format("{}:{}: not valid YAML: {}", file, error.mark.line + 1, error.msg));
    }
}

void YamlValue::fail(const std::string& complaint) const {
    const int line = std::max(node_.Mark().line, 0) + 1; // -1 for the document that an empty file is
    throw Error(ErrorCode::usage, fmt::format("{}:{}: {}", file_, line, complaint));
}

void YamlValue::expect_keys(std::initializer_list<std::string_view> known) const {
    if (!node_.IsMap()) {
        fail(fmt::format("{} must be a mapping (key: value)", name_));
    }
    std::set<std::string> seen;
    for (const auto& entry : node_) {
        const YamlValue key(entry.first, file_, "a key");
        const std::string name = key.text();
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            key.fail(fmt::format("unknown key \"{}\"; known are {}", name, fmt::join(known, ", ")));
        }
        if (!seen.insert(name).second) {
            key.fail(fmt::format("the key \"{}\" is there twice", name));
        }
    }
}

std::optional<YamlValue> YamlValue::get(const std::string& key) const {
    const YAML::Node& mapping = node_; // a const node's [] does not add the key
    const YAML::Node value = mapping[key];
    if (!value.IsDefined()) {
        return std::nullopt;
    }
    return YamlValue(value, file_, key);
}

YamlValue YamlValue::require(const std::string& key) const {
    std::optional<YamlValue> value = get(key);
    if (!value) {
        fail(fmt::format("the key \"{}\" is missing", key));
    }
    return *value;
}

std::string YamlValue::text() const {
    if (!node_.IsScalar()) {
        fail(fmt::format("{} must be a single text", name_));
    }
    return node_.Scalar();
}

std::uint64_t YamlValue::number() const {
    const std::string digits = text();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
        fail(fmt::format("{} must be a whole number, not \"{}\"", name_, digits));
    }
    return value;
}

std::vector<YamlValue> YamlValue::items() const {
    if (!node_.IsSequence()) {
        fail(fmt::format("{} must be a list", name_));
    }
    std::vector<YamlValue> values;
    for (std::size_t i = 0; i < node_.size(); ++i) {
        values.push_back(YamlValue(node_[i], file_, fmt::format("an entry of {}", name_)));
    }
    return values;
}

std::vector<std::string> YamlValue::texts() const {
    std::vector<std::string> values;
    for (const YamlValue& item : items()) {
        values.push_back(item.text());
    }
    return values;
}

} // namespace disktool
