// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map_svg.h"

#include "text_table.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <vector>

namespace disktool::cli {

namespace {

// Pixels.
constexpr std::size_t bar_width = 960;
constexpr int margin = 20;
constexpr int bar_height = 36;
constexpr int row_height = 76;
constexpr int legend_row = 22;

/// By DiskUse; told apart also by those who see no red or green (Okabe and Ito's palette).
constexpr std::array<std::string_view, disk_use_count> colours = {"#cc79a7", "#e69f00", "#bbbbbb",
                                                                  "#0072b2", "#56b4e9", "#f2f2f2"};
constexpr std::array all_uses = {DiskUse::data,        DiskUse::backing, DiskUse::free,
                                 DiskUse::unallocated, DiskUse::table,   DiskUse::outside};

std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : printable(text)) {
        switch (c) {
        case '&':
            result += "&amp;";
            break;
        case '<':
            result += "&lt;";
            break;
        case '>':
            result += "&gt;";
            break;
        case '"':
            result += "&quot;";
            break;
        default:
            result += c;
        }
    }
    return result;
}

std::string uses_text(const UseBytes& bytes) {
    std::string result;
    const std::uint64_t total = bytes.total();
    for (const DiskUse use : all_uses) {
        if (bytes[use] != 0) {
            result += fmt::format("{}{} {} ({})", result.empty() ? "" : ", ", text(use), size_text(bytes[use]),
                                  share_text(bytes[use], total));
        }
    }
    return result;
}

/// Neighbouring cells that show the same become one rectangle.
struct Stretch {
    std::size_t first = 0;
    std::size_t count = 0;
    DiskUse use = DiskUse::unallocated;
    UseBytes bytes;
};

std::vector<Stretch> runs_of(const DiskMap& map, Range range) {
    const std::vector<UseBytes> cells = map.cells(range, bar_width);
    const std::vector<DiskUse> shown = shown_uses(cells);
    std::vector<Stretch> runs;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (runs.empty() || runs.back().use != shown[i]) {
            runs.push_back({i, 0, shown[i], {}});
        }
        ++runs.back().count;
        for (const DiskUse use : all_uses) {
            runs.back().bytes[use] += cells[i][use];
        }
    }
    return runs;
}

void add_bar(std::string& svg, const DiskMap& map, Range range, int y) {
    auto out = std::back_inserter(svg);
    std::uint64_t start = range.offset;
    for (const Stretch& run : runs_of(map, range)) {
        const std::uint64_t end = start + run.bytes.total();
        fmt::format_to(out,
                       "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>bytes {} to {}: "
                       "{}</title></rect>\n",
                       margin + static_cast<int>(run.first), y, run.count, bar_height,
                       colours[static_cast<std::size_t>(run.use)], start, end, escaped(uses_text(run.bytes)));
        start = end;
    }
    fmt::format_to(out,
                   "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333333\"/>\n",
                   margin, y, bar_width, bar_height);
}

void add_text(std::string& svg, int x, int y, const std::string& text, const char* style = "") {
    fmt::format_to(std::back_inserter(svg), "<text x=\"{}\" y=\"{}\"{}>{}</text>\n", x, y, style,
                   escaped(text));
}

/// Above the disk's bar: where each partition lies on it.
void add_marks(std::string& svg, const DiskMap& map, int y) {
    const double scale = static_cast<double>(bar_width) / static_cast<double>(map.size);
    for (const MapPart& part : map.parts) {
        if (part.partition == 0) {
            continue;
        }
        const double x = margin + static_cast<double>(part.range.offset) * scale;
        const double width = static_cast<double>(part.range.length) * scale;
        fmt::format_to(std::back_inserter(svg),
                       "<g><title>{}, {}: {}</title><line x1=\"{:.1f}\" y1=\"{}\" x2=\"{:.1f}\" y2=\"{}\" "
                       "stroke=\"#333333\" stroke-width=\"3\"/>",
                       escaped(part.text), size_text(part.range.length), escaped(uses_text(part.bytes)), x + 1,
                       y, x + std::max(width - 1, 2.0), y);
        if (width >= 14) {
            fmt::format_to(std::back_inserter(svg), "<text x=\"{:.1f}\" y=\"{}\">{}</text>", x + 1, y - 5,
                           part.partition);
        }
        svg += "</g>\n";
    }
}

void add_legend(std::string& svg, const DiskMap& map, int y) {
    for (const DiskUse use : all_uses) {
        if (map.bytes[use] == 0) {
            continue;
        }
        fmt::format_to(std::back_inserter(svg),
                       "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"14\" fill=\"{}\" stroke=\"#333333\"/>\n",
                       margin, y, colours[static_cast<std::size_t>(use)]);
        add_text(svg, margin + 24, y + 12,
                 fmt::format("{}: {} ({})", text(use), size_text(map.bytes[use]),
                             share_text(map.bytes[use], map.size)));
        y += legend_row;
    }
}

[[noreturn]] void refuse_to_overwrite(const std::string& path, const char* why) {
    throw Error(ErrorCode::usage,
                fmt::format("{} is there already and is {}: it is not overwritten. Give --svg another name, or "
                            "remove it first",
                            path, why));
}

void require_replaceable(FileDoor& files, const std::string& path) {
    const std::optional<FileStatus> status = files.status(path, false);
    if (!status) {
        return;
    }
    if (status->type != FileType::regular) {
        refuse_to_overwrite(path, "not a regular file");
    }
    if (status->size == 0) {
        return;
    }
    std::string head(5, '\0');
    const std::unique_ptr<File> file = files.open(path, {});
    head.resize(file->read_some(0, std::as_writable_bytes(std::span(head))));
    if (!head.starts_with("<svg") && !head.starts_with("<?xml")) {
        refuse_to_overwrite(path, "no SVG picture");
    }
}

} // namespace

std::string map_svg(const DiskMap& map, const std::string& title) {
    const int rows = 1 + static_cast<int>(map.parts.size());
    const int legend_y = 60 + rows * row_height;
    const int height = legend_y + legend_row * static_cast<int>(disk_use_count) + margin;
    const int width = 2 * margin + static_cast<int>(bar_width);
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"sans-serif\" font-size=\"14\" fill=\"#222222\">\n<title>{2}</title>\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
        width, height, escaped(title));
    add_text(svg, margin, 30, title, " font-size=\"18\"");
    int y = 72;
    add_marks(svg, map, y - 6);
    add_bar(svg, map, {0, map.size}, y);
    for (const MapPart& part : map.parts) {
        y += row_height;
        add_text(svg, margin, y - 8, fmt::format("{}, {}", part.text, size_text(part.range.length)));
        add_bar(svg, map, part.range, y);
    }
    add_legend(svg, map, legend_y);
    svg += "</svg>\n";
    return svg;
}

void write_svg(FileDoor& files, const std::string& path, const std::string& svg) {
    require_replaceable(files, path);
    files.replace_text(path, svg, 0644);
}

} // namespace disktool::cli
