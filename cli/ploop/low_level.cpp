// SPDX-License-Identifier: LGPL-2.1-or-later
// start, stop, clear, delete, rm, stat, getdev: what the original does to a device of its driver by single
// ioctls.
#include "command.h"
#include "known_devices.h"
#include "running_devices.h"
#include "words.h"

#include <fmt/format.h>

#include <utility>

namespace disktool::ploop::cli {

namespace {

using std::chrono::milliseconds;

struct LowLevelWords {
    std::string node;
    std::vector<std::string> operands;
};

/// -d, and what else is taken for scripts' sake.
LowLevelWords parse(Options& options, const std::vector<std::string>& words,
                    const std::string& letters = "d:") {
    LowLevelWords parsed;
    CommandLine line(options, words, letters);
    while (const char letter = line.next()) {
        if (letter == 'd') {
            parsed.node = line.value();
        }
    }
    parsed.operands = line.operands();
    if (parsed.node.empty()) {
        throw UsageError("");
    }
    return parsed;
}

[[noreturn]] void refuse_ioctl(const std::string& sentence) {
    throw PloopError(Exit::device_ioctl, ErrorCode::unsupported, sentence, Reason::capability_missing);
}

/// Of a file that does not tell what the device was.
int clear_unknown_state(const Options& options, int minor) {
    const std::string file = device_file(minor, "json");
    if (options.dry_run) {
        options.output->result(fmt::format("1. remove {}, which tells no state of a device\n", file));
        return 0;
    }
    if (!remove_unknown_state(minor)) {
        refuse_ioctl(
            fmt::format("A process has /dev/ploop{} although {} does not tell which: it is not removed "
                        "before that process has ended (fuser {})",
                        minor, file, device_file(minor, "lock")));
    }
    options.output->say(fmt::format("Removed {}, which told no state of a device", file));
    return 0;
}

} // namespace

int run_start(Options& options, const std::vector<std::string>& words) {
    const LowLevelWords parsed = parse(options, words);
    if (const std::optional<DeviceState> device = known_device(parsed.node)) {
        refuse_ioctl(fmt::format("{} runs already: it serves {}", device->node, device->disk));
    }
    throw PloopError(Exit::device_open, ErrorCode::unsupported,
                     fmt::format("A device has its images from the beginning: use \"ploop mount -d {} "
                                 "DiskDescriptor.xml\"",
                                 parsed.node),
                     Reason::capability_missing);
}

int run_stop(Options& options, const std::vector<std::string>& words) {
    const DeviceState device = device_of_word(parse(options, words).node);
    options.output->json()["device"] = device.node;
    options.output->json()["dry_run"] = options.dry_run;
    if (options.dry_run) {
        options.output->result(
            fmt::format("1. stop {} and close the images of {}\n", device.node, device.disk));
        return 0;
    }
    try {
        stop_device(options, device, milliseconds(0));
    } catch (const PloopError& error) {
        if (error.code() != ErrorCode::locked) {
            throw;
        }
        throw PloopError(Exit::device_ioctl, error.code(), error.what(), error.reason());
    }
    return 0;
}

int run_clear(Options& options, const std::vector<std::string>& words) {
    const std::string node = parse(options, words).node;
    options.output->json()["device"] = node;
    options.output->json()["dry_run"] = options.dry_run;
    const std::optional<DeviceState> device = known_device(node);
    if (!device) {
        const std::optional<int> minor = minor_of_name(node);
        if (!minor) {
            device_of_word(node); // says that it is none
        }
        if (has_unknown_state(*minor)) {
            return clear_unknown_state(options, *minor);
        }
        options.output->say(fmt::format("{} has nothing to be cleared", node));
        return 0;
    }
    if (device->alive) {
        refuse_ioctl(fmt::format("{} is running: stop it with \"ploop stop -d {}\", which clears it as well",
                                 device->node, device->node));
    }
    if (options.dry_run) {
        options.output->result(fmt::format("1. clear away {}, whose process has died\n", device->node));
        return 0;
    }
    if (!clear_dead_device(*device)) {
        refuse_ioctl(fmt::format("{} is still in use: \"ploop umount -d {}\" unmounts what is on it",
                                 device->node, device->node));
    }
    return 0;
}

int run_delete(Options& options, const std::vector<std::string>& words) {
    const DeviceState device = device_of_word(parse(options, words, "d:l:").node);
    refuse_ioctl(
        fmt::format("No image is taken out of the running {} by its level: \"ploop snapshot-delete -u UUID "
                    "{}\" deletes a snapshot, and \"ploop snapshot-merge\" merges one",
                    device.node, device.descriptor.empty() ? "DiskDescriptor.xml" : device.descriptor));
}

int run_stat(Options& options, const std::vector<std::string>& words) {
    const DeviceState device = device_of_word(parse(options, words, "d:cl").node);
    const ControlMessage status = ask_device(options, device, "status");
    Json counters = status.value("counters", Json::object());
    for (const char* more : {"size", "free_clusters"}) {
        if (status.contains(more)) {
            counters[more] = status[more];
        }
    }
    for (const auto& [name, value] : counters.items()) {
        options.output->result(fmt::format("{}:\t{}\n", name, value.dump()));
    }
    options.output->json()["device"] = device.node;
    options.output->json()["counters"] = counters;
    return 0;
}

int run_getdev(Options& options, const std::vector<std::string>& words) {
    CommandLine line(options, words, "");
    line.next();
    line.operands(0);
    // Taken, and given back: someone else may be faster than whoever asks.
    std::string node;
    as_root_only([&] { node = fmt::format("/dev/ploop{}", DeviceNumber::take({})->minor()); });
    options.output->result(node + "\n");
    options.output->json()["device"] = node;
    return 0;
}

} // namespace disktool::ploop::cli
