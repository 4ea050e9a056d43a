// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ready_words.h"

#include "errors.h"

namespace disktool::ploop::cli {

namespace {

disktool::cli::ReadyListener listener_of(const Options& options) {
    return {[&](const std::string& line) { options.output->say(line); },
            [&](const std::string& line) { options.output->warn(line); }, options.cancel};
}

template <typename Action>
auto in_our_words(Action action) {
    try {
        return action();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::program_missing) { // no FUSE, no loop devices, no program
            throw PloopError(Exit::device_open, error.code(), error.what(), error.reason());
        }
        if (const auto* told = dynamic_cast<const ControlError*>(&error)) {
            throw PloopError(static_cast<Exit>(told->exit()), error.code(), error.what(), error.reason());
        }
        throw;
    }
}

} // namespace

ControlMessage hear_until_ready(const Options& options, int pipe, const std::string& what) {
    return in_our_words([&] { return disktool::cli::hear_until_ready(pipe, what, listener_of(options)); });
}

DeviceState start_device_process(const Options& options, ControlMessage config, const DeviceNumber* number) {
    return in_our_words([&] {
        return disktool::cli::start_device_process("ploop-device", std::move(config), number,
                                                   listener_of(options));
    });
}

} // namespace disktool::ploop::cli
