// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration of a device's process: one JSON object (docs/ploop-devices.md). Whoever reads a value takes
// it out, so that what nobody knows is noticed.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::server {

/// All throw Error(usage) for what is of another type or out of bounds.
class Config {
  public:
    /// Reads the descriptor to its end and closes it.
    static Config read(int descriptor);
    explicit Config(const std::string& text);

    std::string text(const char* name); ///< "" where it is not there
    std::string path(const char* name); ///< the same; absolute
    std::vector<std::string> paths(const char* name);
    std::optional<std::uint64_t> number(const char* name, std::uint64_t least, std::uint64_t most);
    bool flag(const char* name);
    /// Is anything left?
    void finish() const;

  private:
    std::optional<nlohmann::ordered_json> take(const char* name);
    nlohmann::ordered_json json_;
};

} // namespace disktool::server
