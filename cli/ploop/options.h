// SPDX-License-Identifier: LGPL-2.1-or-later
// What all commands have in common, and the reading of a command's words.
#pragma once

#include "command_options.h"
#include "errors.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

/// A command's option that has a long name; `letter` is what CommandLine::next gives for it.
struct LongOption {
    const char* name;
    bool has_value;
    char letter;
};

/// Options and operands of a command, in any order, as getopt_long(3) takes them; "--" ends the options. The
/// options of all commands (--json, --dry-run, --progress, --allow, --help) go into `options`. Not two at once:
/// getopt has a global state. Throws UsageError in getopt's words ("snapshot: invalid option -- 'x'"), and
/// HelpRequested.
class CommandLine {
  public:
    /// `words`: the command's name first. `letters`: as of getopt(3).
    CommandLine(Options& options, std::vector<std::string> words, const std::string& letters,
                std::vector<LongOption> names = {}, Exit usage_exit = Exit::invalid_parameter);
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;
    ~CommandLine();

    /// The next of the command's own options, by its letter; 0: there are no more.
    char next();
    /// Of the option that next() gave.
    const std::string& value() const { return value_; }
    /// Once next() has given 0.
    const std::vector<std::string>& operands() const { return operands_; }
    /// As many as that, else UsageError.
    const std::vector<std::string>& operands(std::size_t count) const;
    const std::string& operand() const { return operands(1).front(); }

  private:
    struct Getopt;
    int next_letter();
    void take_common(int letter);
    bool gave_value_to_flag(const std::string& word) const;
    [[noreturn]] void refuse(int problem) const;

    Options& options_;
    std::vector<std::string> words_;
    Exit usage_exit_;
    std::unique_ptr<Getopt> getopt_;
    std::string value_;
    std::vector<std::string> operands_;
};

} // namespace disktool::ploop::cli
