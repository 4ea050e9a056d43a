// SPDX-License-Identifier: LGPL-2.1-or-later
#include "merge_words.h"

#include "errors.h"
#include "words.h"

#include <fmt/format.h>

namespace disktool::ploop::cli {

Levels parse_levels(const std::string& text) {
    const std::size_t dots = text.find("..");
    const std::size_t low = parse_number("-l", text.substr(0, dots));
    const std::size_t high = dots == std::string::npos ? low + 1 : parse_number("-l", text.substr(dots + 2));
    if (high <= low) {
        throw UsageError(fmt::format("Option -l takes a level, or LEVEL..TOP_LEVEL with the higher one "
                                     "behind, not \"{}\"",
                                     text));
    }
    return {low, high};
}

} // namespace disktool::ploop::cli
