// SPDX-License-Identifier: LGPL-2.1-or-later
// The syntax of LVM's configuration and metadata: `name { ... }`, `name = value`, where a value is a number, a
// string or a list of them, and comments from # to the end of the line (man lvm.conf; lvm2,
// libdm/libdm-config.c).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace disktool::lvm2 {

using ConfigValue = std::variant<std::int64_t, double, std::string>;

struct ConfigNode {
    std::string name;
    bool section = false;
    std::vector<ConfigNode> children; ///< of a section, in order, no two of one name
    std::vector<ConfigValue> values;  ///< of an assignment: one, or those of a list

    /// None: null. O(children).
    const ConfigNode* find(std::string_view child) const;
};

/// The text is not of that syntax, or beyond the limits (16 levels, a million names and values).
class ConfigError : public std::runtime_error {
  public:
    ConfigError(std::size_t offset, const std::string& what) : std::runtime_error(what), offset_(offset) {}
    std::size_t offset() const { return offset_; } ///< byte of the text

  private:
    std::size_t offset_;
};

/// The whole text as a section without a name. A NUL ends it.
ConfigNode parse_config(std::string_view text);

} // namespace disktool::lvm2
