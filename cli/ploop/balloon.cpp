// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "device_commands.h"
#include "disk_verbs.h"
#include "words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

constexpr std::array actions = {"show", "status", "clear", "change", "complete", "check", "repair", "discard"};

int run_discard(Options& options, const std::vector<std::string>& words) {
    DiscardOptions request;
    CommandLine line(options, words, "fd:m:",
                     {{"automount", false, 'a'},
                      {"to-free", true, 't'},
                      {"min-block", true, 'b'},
                      {"stat", false, 's'},
                      {"defrag", false, 'g'}});
    while (const char letter = line.next()) {
        switch (letter) {
        case 'f':
            break; // as the original: it takes the word and does nothing with it
        case 'd':
        case 'm':
            refuse_device_form("balloon discard -d and -m",
                               "a disk at rest is named by its DiskDescriptor.xml");
        case 'a':
            request.automount = true;
            break;
        case 't':
            request.to_free_sectors = parse_size("--to-free", line.value());
            break;
        case 'b':
            request.min_block_sectors = parse_size("--min-block", line.value());
            break;
        case 's':
            request.stat = true;
            break;
        default:
            request.defrag = true;
        }
    }
    const std::vector<std::string>& operands = line.operands();
    const std::optional<std::string> descriptor =
        operands.size() == 1 ? descriptor_of(real_doors().files, operands.front()) : std::nullopt;
    if (!descriptor) {
        throw UsageError("", Exit::no_memory_or_failure); // the original's code for wrong operands
    }
    return discard_disk(options, *descriptor, request);
}

/// The balloon is a file of a mounted file system: these actions have nothing to work on.
int run_mounted_action(Options& options, const std::vector<std::string>& words) {
    CommandLine line(options, words, words.front() == "change" ? "fd:m:s:" : "fd:m:");
    while (const char letter = line.next()) {
        if (letter == 'd' || letter == 'm') {
            refuse_device_form(fmt::format("balloon {} -{}", words.front(), letter),
                               "a disk at rest has no balloon to look at");
        }
        if (letter == 's') {
            parse_size("-s", line.value());
        }
    }
    open_disk(options, descriptor_operand(line), Access::read);
    throw ParameterError("The image is not mounted");
}

} // namespace

int run_balloon(Options& options, const std::vector<std::string>& words) {
    if (words.size() > 1 && words[1] == "--help") {
        throw HelpRequested{};
    }
    if (words.size() < 2 || std::find(actions.begin(), actions.end(), words[1]) == actions.end()) {
        throw UsageError(words.size() < 2 ? "" : fmt::format("There is no balloon action \"{}\"", words[1]));
    }
    const std::vector<std::string> own_words(words.begin() + 1, words.end());
    return words[1] == "discard" ? run_discard(options, own_words) : run_mounted_action(options, own_words);
}

} // namespace disktool::ploop::cli
