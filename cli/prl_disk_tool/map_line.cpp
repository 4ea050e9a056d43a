// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map_line.h"

#include "text_table.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace disktool::cli {

namespace {

constexpr std::size_t narrowest = 20;
constexpr std::size_t widest = 1000;
/// Cells by which a number may lie behind its partition, where several are small.
constexpr std::size_t slack = 2;

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::size_t width_of_output() {
    const std::string_view columns = environment("COLUMNS");
    std::size_t width = 0;
    std::from_chars(columns.data(), columns.data() + columns.size(), width);
    winsize window{};
    if (width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) {
        width = window.ws_col;
    }
    return std::clamp(width == 0 ? 80 : width, narrowest, widest);
}

bool wants_colours() {
    if (!environment("NO_COLOR").empty()) {
        return false;
    }
    if (const std::string_view force = environment("CLICOLOR_FORCE"); !force.empty() && force != "0") {
        return true;
    }
    return isatty(STDOUT_FILENO) == 1 && environment("TERM") != "dumb";
}

/// By DiskUse: of the sixteen colours that every terminal has; dark letters on light ground or the reverse.
constexpr std::array<std::string_view, disk_use_count> colours = {"\x1b[97;45m", "\x1b[30;42m", "\x1b[30;47m",
                                                                  "\x1b[97;44m", "\x1b[30;46m", "\x1b[90m"};
constexpr std::string_view no_colour = "\x1b[0m";

std::string painted(DiskUse use, const std::string& text, bool with_colours) {
    return with_colours ? fmt::format("{}{}{}", colours[static_cast<std::size_t>(use)], text, no_colour) : text;
}

std::string cell_line(const std::vector<DiskUse>& shown, bool with_colours) {
    std::string line;
    for (std::size_t i = 0; i < shown.size();) {
        std::size_t end = i;
        while (end < shown.size() && shown[end] == shown[i]) {
            ++end;
        }
        line += painted(shown[i], std::string(end - i, letter(shown[i])), with_colours);
        i = end;
    }
    return line;
}

std::size_t cell_of(std::uint64_t offset, std::uint64_t size, std::size_t width) {
    const double share = static_cast<double>(offset) / static_cast<double>(std::max<std::uint64_t>(size, 1));
    return std::min(static_cast<std::size_t>(share * static_cast<double>(width)), width - 1);
}

/// A number where each partition begins, or next to that, and a dash as far as it goes. One for whose number
/// there is no room is only in the list below.
std::string marker_line(const DiskMap& map, std::size_t width) {
    std::string line(width, ' ');
    std::size_t taken = 0;
    for (const MapPart& part : map.parts) {
        const std::string number = part.partition == 0 ? "disk" : std::to_string(part.partition);
        const std::size_t first = std::max(cell_of(part.range.offset, map.size, width), taken);
        const std::size_t last =
            cell_of(part.range.end() - std::min<std::uint64_t>(part.range.length, 1), map.size, width);
        if (first > last + slack || first + number.size() > width) {
            continue;
        }
        std::fill(line.begin() + first, line.begin() + std::max(first, last + 1), '-');
        line.replace(first, number.size(), number);
        taken = std::max(last + 1, first + number.size() + 1);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

} // namespace

char letter(DiskUse use) {
    constexpr std::array<char, disk_use_count> letters = {'T', '+', '_', '#', '=', '.'};
    return letters[static_cast<std::size_t>(use)];
}

LineStyle style_of_output() {
    return {width_of_output(), wants_colours()};
}

std::vector<std::string> map_lines(const DiskMap& map, const LineStyle& style) {
    std::vector<std::string> lines;
    if (const std::string markers = marker_line(map, style.width); !markers.empty()) {
        lines.push_back(markers);
    }
    lines.push_back(cell_line(shown_uses(map.cells({0, map.size}, style.width)), style.colours));
    lines.emplace_back();
    for (const DiskUse use : {DiskUse::data, DiskUse::backing, DiskUse::free, DiskUse::unallocated,
                              DiskUse::table, DiskUse::outside}) {
        const std::uint64_t bytes = map.bytes[use];
        if (bytes == 0) {
            continue;
        }
        lines.push_back(fmt::format("{}  {:<18}  {:>10}  {:>7}",
                                    painted(use, std::string(1, letter(use)), style.colours), text(use),
                                    size_text(bytes), share_text(bytes, map.size)));
    }
    return lines;
}

} // namespace disktool::cli
