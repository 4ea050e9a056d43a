// SPDX-License-Identifier: LGPL-2.1-or-later
// Columns for people, and text of the guest made fit to be shown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace disktool::cli {

/// Labels and names come from the guest, which may have put escape sequences for the terminal into them: every
/// control character, and every byte that is not UTF-8, becomes '?'.
std::string printable(const std::string& text);

/// "12.5 %"; what is there but too little to show is "<0.1 %".
std::string share_text(std::uint64_t part, std::uint64_t whole);

/// Lines of cells; each column is as wide as its widest cell.
class TextTable {
  public:
    enum class Align { left, right };
    struct Column {
        std::string title;
        Align align = Align::left;
    };

    explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
    /// As many cells as there are columns.
    void add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }
    /// The title line first, each line behind `indent`. A column that is empty in every line is left out.
    std::vector<std::string> lines(const std::string& indent) const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> lines_;
};

} // namespace disktool::cli
