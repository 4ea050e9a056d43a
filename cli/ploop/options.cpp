// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include "words.h"

#include <fmt/format.h>
#include <getopt.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace disktool::ploop::cli {

namespace {

// Above every letter, so that no command's own option is taken for one of these.
enum CommonOption { option_json = 256, option_dry_run, option_progress, option_allow, option_help };

constexpr option common_options[] = {{"json", no_argument, nullptr, option_json},
                                     {"dry-run", no_argument, nullptr, option_dry_run},
                                     {"progress", optional_argument, nullptr, option_progress},
                                     {"allow", required_argument, nullptr, option_allow},
                                     {"help", no_argument, nullptr, option_help}};

} // namespace

/// getopt_long's view of the words and options.
struct CommandLine::Getopt {
    std::string letters;
    std::vector<LongOption> names; ///< owns nothing: literals
    std::vector<option> options;
    std::vector<char*> words;
};

CommandLine::CommandLine(Options& options, std::vector<std::string> words, const std::string& letters,
                         std::vector<LongOption> names, Exit usage_exit)
    : options_(options), words_(std::move(words)), usage_exit_(usage_exit),
      getopt_(std::make_unique<Getopt>()) {
    // The colon: a missing value is told from an unknown option.
    getopt_->letters = ":" + letters;
    getopt_->names = std::move(names);
    for (const LongOption& name : getopt_->names) {
        getopt_->options.push_back(
            {name.name, name.has_value ? required_argument : no_argument, nullptr, name.letter});
    }
    getopt_->options.insert(getopt_->options.end(), std::begin(common_options), std::end(common_options));
    getopt_->options.push_back({nullptr, 0, nullptr, 0});
    for (std::string& word : words_) {
        getopt_->words.push_back(word.data());
    }
    getopt_->words.push_back(nullptr);
    opterr = 0; // the messages are ours, so that --json has them, too
    optind = 0; // glibc: begin anew
}

CommandLine::~CommandLine() = default;

int CommandLine::next_letter() {
    return getopt_long(static_cast<int>(words_.size()), getopt_->words.data(), getopt_->letters.c_str(),
                       getopt_->options.data(), nullptr);
}

char CommandLine::next() {
    for (;;) {
        const int letter = next_letter();
        if (letter == -1) {
            for (std::size_t i = static_cast<std::size_t>(optind); i < words_.size(); ++i) {
                operands_.emplace_back(getopt_->words[i]);
            }
            return 0;
        }
        if (letter == '?' || letter == ':') {
            refuse(letter);
        }
        value_ = optarg != nullptr ? optarg : "";
        if (letter < option_json) {
            return static_cast<char>(letter);
        }
        take_common(letter);
    }
}

void CommandLine::take_common(int letter) {
    switch (letter) {
    case option_json:
        return; // main has looked for it before anything was printed
    case option_dry_run:
        options_.dry_run = true;
        return;
    case option_progress:
        options_.progress_descriptor = optarg == nullptr ? 2 : parse_file_number("--progress", value_);
        return;
    case option_allow:
        options_.allowed.push_back(value_);
        return;
    default:
        throw HelpRequested{};
    }
}

bool CommandLine::gave_value_to_flag(const std::string& word) const {
    const std::size_t equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string::npos) {
        return false;
    }
    const std::string_view name = std::string_view(word).substr(2, equals - 2);
    return std::any_of(getopt_->options.begin(), getopt_->options.end(), [&](const option& known) {
        return known.name != nullptr && std::string_view(known.name).starts_with(name) &&
               known.has_arg == no_argument && known.val == optopt;
    });
}

void CommandLine::refuse(int problem) const {
    // Of a wrong letter inside "-xy" this is the word before: so a letter is judged by itself.
    const std::string word = getopt_->words[static_cast<std::size_t>(optind) - 1];
    std::string message;
    if (problem == ':') {
        message = word.starts_with("--")
                      ? fmt::format("option '{}' requires an argument", word)
                      : fmt::format("option requires an argument -- '{}'", static_cast<char>(optopt));
    } else if (optopt == 0) {
        message = fmt::format("unrecognized option '{}'", word);
    } else if (gave_value_to_flag(word)) {
        message = fmt::format("option '{}' doesn't allow an argument", word.substr(0, word.find('=')));
    } else {
        message = fmt::format("invalid option -- '{}'", static_cast<char>(optopt));
    }
    throw UsageError(fmt::format("{}: {}", words_.front(), message), usage_exit_);
}

const std::vector<std::string>& CommandLine::operands(std::size_t count) const {
    if (operands_.size() > count) {
        throw UsageError(fmt::format("{}: unexpected word \"{}\"", words_.front(), operands_[count]),
                         usage_exit_);
    }
    if (operands_.size() < count) {
        throw UsageError("", usage_exit_);
    }
    return operands_;
}

} // namespace disktool::ploop::cli
