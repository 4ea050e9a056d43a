// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "known_devices.h"
#include "online_verbs.h"
#include "words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace disktool::ploop::cli {

namespace {

constexpr std::array actions = {"show", "status", "clear", "change", "complete", "check", "repair", "discard"};

/// A running device named by -d, -m or a descriptor; none: the descriptor's disk is at rest.
class Target {
  public:
    /// An option that CommandLine::next() gave. False: it is another one.
    bool take(char letter, const std::string& value) {
        if (letter != 'd' && letter != 'm') {
            return letter == 'f'; // as the original: it takes the word and does nothing with it
        }
        if (letter == 'd') {
            device_ = parse_name("-d", "the device", value);
        } else {
            mount_point_ = parse_name("-m", "where it is mounted", value);
        }
        return true;
    }
    std::optional<RunningFilesystem> find(const Options& options, const std::vector<std::string>& operands,
                                          Exit usage_exit) {
        if (!device_.empty() || !mount_point_.empty()) {
            if (!operands.empty() || (!device_.empty() && !mount_point_.empty())) {
                throw UsageError("", usage_exit);
            }
            return device_.empty() ? filesystem_of_mount(options, mount_point_)
                                   : filesystem_of_device(options, device_);
        }
        const std::optional<std::string> path =
            operands.size() == 1 ? descriptor_of(real_doors().files, operands.front()) : std::nullopt;
        if (!path) {
            throw UsageError("", usage_exit);
        }
        descriptor = *path;
        return filesystem_of_descriptor(options, *path);
    }
    std::string descriptor; ///< of a disk named so

  private:
    std::string device_, mount_point_;
};

int run_discard(Options& options, const std::vector<std::string>& words) {
    DiscardOptions request;
    Target target;
    CommandLine line(options, words, "fd:m:",
                     {{"automount", false, 'a'},
                      {"to-free", true, 't'},
                      {"min-block", true, 'b'},
                      {"stat", false, 's'},
                      {"defrag", false, 'g'}});
    while (const char letter = line.next()) {
        switch (letter) {
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
        case 'g':
            request.defrag = true;
            break;
        default:
            target.take(letter, line.value());
        }
    }
    // The original's code for wrong operands.
    auto running = target.find(options, line.operands(), Exit::no_memory_or_failure);
    return running ? discard_running(options, *running, request)
                   : discard_disk(options, target.descriptor, request);
}

int act(const std::string& action, const Options& options, RunningFilesystem& filesystem,
        std::optional<std::uint64_t> sectors) {
    if (action == "show") {
        return balloon_show(options, filesystem);
    }
    if (action == "status") {
        return balloon_status(options, filesystem);
    }
    if (action == "clear") {
        return balloon_clear(options, filesystem);
    }
    if (action == "complete") {
        return balloon_complete(options, filesystem);
    }
    if (action == "change") {
        return balloon_change(options, filesystem, *sectors);
    }
    return balloon_check(options, filesystem, action == "repair");
}

int run_mounted_action(Options& options, const std::vector<std::string>& words) {
    const std::string& action = words.front();
    Target target;
    std::optional<std::uint64_t> sectors;
    CommandLine line(options, words, action == "change" ? "fd:m:s:" : "fd:m:");
    while (const char letter = line.next()) {
        if (!target.take(letter, line.value())) {
            sectors = parse_size("-s", line.value());
        }
    }
    if (action == "change" && !sectors) {
        throw UsageError("");
    }
    auto running = target.find(options, line.operands(), Exit::invalid_parameter);
    if (!running) {
        demand_known_devices();
        throw ParameterError("The image is not mounted");
    }
    return act(action, options, *running, sectors);
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
