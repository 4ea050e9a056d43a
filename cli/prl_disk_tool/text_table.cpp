// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace disktool::cli {

namespace {

/// Bytes of the well-formed UTF-8 character that `text` starts with (RFC 3629, section 4); 0: there is none.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t lead = byte(0);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    if (length > text.size()) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool overlong_or_surrogate = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
                                       (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f);
    return overlong_or_surrogate ? 0 : length;
}

bool is_control(std::string_view character) {
    const auto first = static_cast<std::uint8_t>(character[0]);
    return first < 0x20 || first == 0x7f || (first == 0xc2 && static_cast<std::uint8_t>(character[1]) < 0xa0);
}

std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char byte) { return (static_cast<std::uint8_t>(byte) & 0xc0) != 0x80; }));
}

} // namespace

std::string printable(const std::string& text) {
    std::string result;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t length = character_length(rest);
        const std::string_view character = rest.substr(0, std::max<std::size_t>(length, 1));
        if (length == 0 || is_control(character)) {
            result += '?';
        } else {
            result += character;
        }
        rest.remove_prefix(character.size());
    }
    return result;
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
    const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    return part != 0 && percent < 0.1 ? "<0.1 %" : fmt::format("{:.1f} %", percent);
}

std::vector<std::string> TextTable::lines(const std::string& indent) const {
    std::vector<std::string> result(lines_.size() + 1, indent);
    bool first = true;
    for (std::size_t column = 0; column < columns_.size(); ++column) {
        const bool empty =
            std::all_of(lines_.begin(), lines_.end(), [&](const auto& line) { return line[column].empty(); });
        if (empty) {
            continue;
        }
        std::size_t widest = width(columns_[column].title);
        for (const auto& line : lines_) {
            widest = std::max(widest, width(line[column]));
        }
        for (std::size_t i = 0; i < result.size(); ++i) {
            const std::string& cell = i == 0 ? columns_[column].title : lines_[i - 1][column];
            const std::string blanks(widest - width(cell), ' ');
            result[i] +=
                (first ? "" : "  ") + (columns_[column].align == Align::left ? cell + blanks : blanks + cell);
        }
        first = false;
    }
    for (std::string& line : result) {
        line.erase(line.find_last_not_of(' ') + 1);
    }
    return result;
}

} // namespace disktool::cli
