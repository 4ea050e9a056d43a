// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ask_device.h"

#include "common/progress_display.h"
#include "errors.h"
#include "known_devices.h"
#include "mount_table.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

namespace disktool::ploop::cli {

namespace {

constexpr std::chrono::milliseconds short_pause{100};
constexpr std::chrono::milliseconds end_of_process{10'000};

[[noreturn]] void rethrow(const ControlError& error) {
    throw PloopError(static_cast<Exit>(error.exit()), error.code(), error.what(), error.reason());
}

std::unique_ptr<ControlClient> connect(const DeviceState& device) {
    if (!device.alive) {
        refuse_dead(device);
    }
    try {
        return ControlClient::connect(device_file(device.minor, "sock"));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) {
            throw;
        }
        const std::optional<DeviceState> now = device_state(device.minor);
        if (!now || !now->alive) {
            refuse_dead(device);
        }
        throw PloopError(Exit::device_open, error.code(), error.what(), error.reason());
    }
}

} // namespace

std::vector<DeviceState> readable_states() {
    try {
        return device_states();
    } catch (const SystemError& error) {
        if (error.error_number() == EACCES) {
            return {};
        }
        throw;
    }
}

void refuse_dead(const DeviceState& device) {
    throw PloopError(Exit::device_open, ErrorCode::failure,
                     fmt::format("The process of {} has died, so nobody serves {}: take the device away with "
                                 "\"ploop umount -d {}\", which tells what has to be repaired",
                                 device.node, device.disk, device.node));
}

DeviceState device_of_word(const std::string& node) {
    if (std::optional<DeviceState> device = known_device(node)) {
        return *device;
    }
    throw PloopError(Exit::device_open, ErrorCode::not_found,
                     fmt::format("{} is no running ploop device; \"ploop list\" shows which there are", node));
}

std::optional<DeviceState> device_at(const std::string& folder) {
    const std::optional<MountPoint> point = mounted_on(folder);
    if (!point) {
        return std::nullopt;
    }
    for (DeviceState& device : known_states()) {
        const std::vector<MountPoint> points = mount_points_of(device);
        if (std::any_of(points.begin(), points.end(),
                        [&](const MountPoint& other) { return other.id == point->id; })) {
            return std::move(device);
        }
    }
    return std::nullopt;
}

std::optional<DeviceState> choose_device(std::vector<DeviceState> devices, const std::string& what) {
    if (devices.empty()) {
        return std::nullopt;
    }
    std::stable_partition(devices.begin(), devices.end(),
                          [](const DeviceState& device) { return !device.read_only; });
    if (devices.size() > 1 && devices.front().read_only) {
        std::vector<std::string> nodes;
        for (const DeviceState& device : devices) {
            nodes.push_back(device.node);
        }
        throw ParameterError(fmt::format("{} is mounted more than once ({}): name the device with -d", what,
                                         fmt::join(nodes, ", ")));
    }
    return std::move(devices.front());
}

ControlMessage ask_device(const Options& options, const DeviceState& device, const std::string& request,
                          ControlMessage arguments) {
    const std::unique_ptr<ControlClient> client = connect(device);
    disktool::cli::ProgressDisplay display(
        {.quiet = options.output->silent(), .json_descriptor = options.progress_descriptor.value_or(-1)});
    bool shown = false;
    ControlClient::Listener listener;
    listener.say = [&](const std::string& line) { options.output->say(line); };
    listener.warn = [&](const std::string& line) { options.output->warn(line); };
    listener.progress = [&](std::uint64_t done, std::uint64_t total) {
        shown = true;
        display.update({.step = request, .index = 0, .steps = 1, .done = done, .total = total});
    };
    listener.cancel = options.cancel;
    try {
        ControlMessage answer = client->ask(request, std::move(arguments), listener);
        if (shown) {
            display.finished(true);
        }
        return answer;
    } catch (const ControlError& error) {
        if (shown) {
            display.finished(false);
        }
        rethrow(error);
    } catch (...) {
        if (shown) {
            display.finished(false);
        }
        throw;
    }
}

ControlMessage device_status(const DeviceState& device) {
    try {
        return connect(device)->ask("status");
    } catch (const ControlError& error) {
        rethrow(error);
    }
}

int carry_out(const Options& options, const DeviceState& device, const DeviceRequest& request) {
    Output& output = *options.output;
    output.json()["dry_run"] = options.dry_run;
    output.json()["device"] = device.node;
    output.json()["request"] = {{"name", request.request}, {"arguments", request.arguments}};
    if (options.dry_run) {
        // Its process looks whether it would; one that does not know the request is not asked to do the work.
        std::string work;
        if (request.planned) {
            ControlMessage arguments = request.arguments;
            arguments["verb"] = request.request;
            const ControlMessage plan = ask_device(options, device, "plan", std::move(arguments));
            if (const std::uint64_t bytes = plan.value("bytes", std::uint64_t{0}); bytes > 0) {
                output.json()["bytes"] = bytes;
                work = fmt::format(" ({} to be read and written)", size_text(bytes));
            }
        }
        output.result(fmt::format("1. ask the process of {}, which runs {}, to {}{}\n", device.node,
                                  device.disk, request.text, work));
        return 0;
    }
    ControlMessage answer = ask_device(options, device, request.request, request.arguments);
    answer.erase("ok");
    output.json()["answer"] = std::move(answer);
    return 0;
}

std::string absolute_path(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal();
}

void until_unlocked(std::chrono::steady_clock::time_point end, const CancelToken* cancel,
                    const std::function<void()>& work) {
    for (;;) {
        try {
            work();
            return;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::locked || std::chrono::steady_clock::now() >= end) {
                throw;
            }
        }
        if (cancel != nullptr) {
            cancel->check();
        }
        std::this_thread::sleep_for(short_pause);
    }
}

void stop_device(const Options& options, const DeviceState& device, std::chrono::milliseconds patience) {
    until_unlocked(std::chrono::steady_clock::now() + patience, nullptr,
                   [&] { ask_device(options, device, "stop"); });
    // Its number is free when its process has ended.
    const auto gone = std::chrono::steady_clock::now() + end_of_process;
    while (std::chrono::steady_clock::now() < gone) {
        const std::optional<DeviceState> now = device_state(device.minor);
        if (!now || now->pid != device.pid) {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

bool has_died(const DeviceState& device) {
    const auto end = std::chrono::steady_clock::now() + end_of_process;
    for (;;) {
        const std::optional<DeviceState> now = device_state(device.minor);
        if (!now || now->pid != device.pid || !now->alive) {
            return now && now->pid == device.pid;
        }
        try { // the kernel ends a process bit by bit: its socket may have gone before its lock
            ControlClient::connect(device_file(device.minor, "sock"));
            return false;
        } catch (const Error&) {
            if (std::chrono::steady_clock::now() >= end) {
                return false;
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

bool clear_dead_device(const DeviceState& device) {
    const auto end = std::chrono::steady_clock::now() + stop_patience;
    while (!remove_dead_device(device)) {
        if (std::chrono::steady_clock::now() >= end || !mount_points_of(device).empty()) {
            return false;
        }
        std::this_thread::sleep_for(short_pause);
    }
    return true;
}

} // namespace disktool::ploop::cli
