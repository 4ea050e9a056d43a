// SPDX-License-Identifier: LGPL-2.1-or-later
// The map of a disk as a line of characters, for the terminal.
#pragma once

#include "verb/disk_map.h"

#include <cstddef>
#include <string>
#include <vector>

namespace disktool::cli {

struct LineStyle {
    std::size_t width = 80; ///< cells
    bool colours = false;
};

/// For standard output, as the environment asks: $COLUMNS, else the terminal's width, else 80, within 20 to
/// 1000. Colours: none where $NO_COLOR is set (https://no-color.org), else if $CLICOLOR_FORCE is set to
/// anything but 0, else on a terminal that is not $TERM=dumb.
LineStyle style_of_output();

/// Three parts: where the partitions lie, the cells, and the legend with sizes and shares. Every use has a
/// character of its own, so that nothing depends on colours.
std::vector<std::string> map_lines(const DiskMap& map, const LineStyle& style);

/// One character for a use, as in the line.
char letter(DiskUse use);

} // namespace disktool::cli
