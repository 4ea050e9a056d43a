// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_state.h"

#include "device/device_folder.h"
#include "device/device_state_json.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace disktool {

namespace {

constexpr std::size_t largest_state = 1 << 20; // bytes

/// The number at the start of `text`, which it loses; none: there is none.
std::optional<int> take_number(std::string_view& text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || text.front() == '-' || (text.front() == '0' && end != text.data() + 1)) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

/// "ploop7.json": 7.
std::optional<int> minor_of_file(std::string_view name) {
    constexpr std::string_view start = "ploop";
    if (!name.starts_with(start)) {
        return std::nullopt;
    }
    name.remove_prefix(start.size());
    const std::optional<int> minor = take_number(name);
    return minor && name == ".json" && *minor <= largest_minor ? minor : std::nullopt;
}

bool is_alive(int minor) {
    const Descriptor lock = open_device_lock(minor, false);
    return lock && device_lock_held(lock.get());
}

/// What a file tells; `why`: it is there, and tells no state.
struct ReadState {
    std::optional<DeviceState> state{};
    std::string why{};
};

ReadState understood(int minor, const std::string& text) {
    ReadState read{{}, "it is not JSON"};
    const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
    if (!json.is_discarded()) {
        read.state = device_state_of(json, read.why);
    }
    if (read.state && read.state->minor != minor) {
        return {{}, "it is of another device"};
    }
    if (read.state) {
        read.why.clear();
    }
    return read;
}

/// Without a look at whether it is alive.
ReadState read_state(int minor) {
    if (minor < 0 || minor > largest_minor || !existing_device_folder()) {
        return {};
    }
    try {
        return understood(minor, real_doors().files.read_text(device_file(minor, "json"), largest_state));
    } catch (const SystemError& error) {
        if (error.error_number() == ENOENT) {
            return {};
        }
        throw;
    } catch (const Error& error) {
        return {{}, error.what()};
    }
}

/// The number of the whole device, where `number` may be that of a partition.
dev_t whole_device(dev_t number) {
    FileDoor& files = real_doors().files;
    const std::string entry = fmt::format("/sys/dev/block/{}:{}", major(number), minor(number));
    if (!files.status(entry + "/partition")) {
        return number;
    }
    const std::string text = files.read_text(entry + "/../dev", 64);
    std::string_view rest = text;
    const std::optional<int> first = take_number(rest);
    if (!first || !rest.starts_with(':')) {
        return number;
    }
    rest.remove_prefix(1);
    const std::optional<int> second = take_number(rest);
    return second ? makedev(static_cast<unsigned>(*first), static_cast<unsigned>(*second)) : number;
}

} // namespace

std::optional<int> minor_of_name(const std::string& name) {
    std::string_view rest = name;
    if (rest.starts_with("/dev/")) {
        rest.remove_prefix(5);
    }
    if (!rest.starts_with("ploop")) {
        return std::nullopt;
    }
    rest.remove_prefix(5);
    const std::optional<int> minor = take_number(rest);
    if (!minor || *minor > largest_minor) {
        return std::nullopt;
    }
    if (rest.starts_with('p')) {
        rest.remove_prefix(1);
        if (!take_number(rest)) {
            return std::nullopt;
        }
    }
    return rest.empty() ? minor : std::nullopt;
}

std::optional<DeviceState> device_state(int minor) {
    ReadState read = read_state(minor);
    if (!read.why.empty()) {
        log(LogLevel::warning,
            fmt::format(
                "{} is passed over, it does not tell the state of a device: {}. Where no process has that "
                "device, \"ploop clear -d /dev/ploop{}\" removes the file",
                device_file(minor, "json"), read.why, minor));
    }
    if (read.state) {
        read.state->alive = is_alive(minor);
    }
    return std::move(read.state);
}

bool has_unknown_state(int minor) {
    return !read_state(minor).why.empty();
}

std::vector<DeviceState> device_states() {
    std::vector<DeviceState> states;
    const std::optional<std::string> folder = existing_device_folder();
    if (!folder) {
        return states;
    }
    std::vector<int> minors;
    for (const std::string& name : real_doors().files.list(*folder)) {
        if (const std::optional<int> minor = minor_of_file(name)) {
            minors.push_back(*minor);
        }
    }
    std::sort(minors.begin(), minors.end());
    for (const int minor : minors) {
        if (std::optional<DeviceState> state = device_state(minor)) {
            states.push_back(std::move(*state));
        }
    }
    return states;
}

std::optional<DeviceState> device_of_node(const std::string& node) {
    if (const std::optional<int> minor = minor_of_name(node)) {
        return device_state(*minor);
    }
    struct stat status {};
    if (stat(node.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) {
        return std::nullopt;
    }
    const dev_t wanted = whole_device(status.st_rdev);
    for (DeviceState& state : device_states()) {
        struct stat loop {};
        if (!state.loop.empty() && stat(state.loop.c_str(), &loop) == 0 && S_ISBLK(loop.st_mode) &&
            loop.st_rdev == wanted) {
            return std::move(state);
        }
    }
    return std::nullopt;
}

std::vector<DeviceState> devices_of_image(const FileStatus& image) {
    std::vector<DeviceState> found;
    std::vector<DeviceState> states;
    try {
        states = device_states();
    } catch (const SystemError& error) {
        if (error.error_number() != EACCES) {
            throw;
        }
        return found;
    }
    const auto same = [&](const DeviceImage& other) { return other.is(image); };
    for (DeviceState& state : states) {
        if (std::any_of(state.images.begin(), state.images.end(), same)) {
            found.push_back(std::move(state));
        }
    }
    std::stable_partition(found.begin(), found.end(), [&](const DeviceState& state) {
        return !state.read_only && same(state.images.back());
    });
    return found;
}

} // namespace disktool
