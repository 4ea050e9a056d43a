// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <string>

namespace disktool::ploop::cli {

/// Images of a chain by their distance from the base: from `low` to `high`, which is above it.
struct Levels {
    std::size_t low, high;
};

/// "LEVEL", which is that one and the next, or "LEVEL..TOP_LEVEL". Throws UsageError.
Levels parse_levels(const std::string& text);

} // namespace disktool::ploop::cli
