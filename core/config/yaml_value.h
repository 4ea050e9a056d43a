// SPDX-License-Identifier: LGPL-2.1-or-later
// A place in a YAML file, read strictly: every complaint names file and line.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace disktool {

/// A value of a YAML document together with what it is called there. All errors are Error(usage), "FILE:LINE:
/// ...".
class YamlValue {
  public:
    /// The whole document. An empty one is an empty mapping.
    static YamlValue parse(const std::string& text, const std::string& file);

    /// Throws unless it is a mapping that has none but these keys, each once.
    void expect_keys(std::initializer_list<std::string_view> known) const;
    std::optional<YamlValue> get(const std::string& key) const;
    YamlValue require(const std::string& key) const;

    std::string text() const;
    std::uint64_t number() const;
    std::vector<YamlValue> items() const;
    std::vector<std::string> texts() const;

    [[noreturn]] void fail(const std::string& complaint) const;

  private:
    YamlValue(const YAML::Node& node, std::string file, std::string name);
    YAML::Node node_;
    std::string file_;
    std::string name_;
};

} // namespace disktool
