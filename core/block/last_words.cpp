// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/last_words.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace disktool {

namespace {

constexpr std::string_view blanks = " \t\r\b";
/// Of each statement: a message stays one that can be read.
constexpr std::size_t longest = 500;

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

void add_statements(std::vector<std::string>& statements, std::string_view text) {
    bool goes_on = false; // nothing goes on with a line of another stream
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::string_view words = trimmed(line);
        if (words.empty()) {
            continue;
        }
        if (goes_on && (line.front() == ' ' || line.front() == '\t')) {
            statements.back() += " ";
            statements.back() += words;
        } else {
            statements.emplace_back(words);
        }
        goes_on = true;
    }
}

} // namespace

std::string last_words(const CommandResult& result, std::size_t statements) {
    std::vector<std::string> all;
    add_statements(all, result.output);
    add_statements(all, result.errors);
    const std::size_t count = std::min(statements, all.size());
    all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(count));
    for (std::string& statement : all) {
        if (statement.size() > longest) {
            statement = statement.substr(0, longest) + "...";
        }
    }
    return fmt::format("{}", fmt::join(all, "; "));
}

} // namespace disktool
