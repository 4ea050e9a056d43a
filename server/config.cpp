// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include "block/host_descriptor.h"
#include "device/device_state.h"
#include "device_options.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <thread>

namespace disktool::server {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t longest = 1 << 20; // bytes
constexpr std::size_t most_paths = 1024;
constexpr int config_version = 1;
/// Each waits for the host's disk with one request, so there are more of them than processors.
constexpr unsigned fewest_threads = 16, most_usual_threads = 32, most_threads = 64;

[[noreturn]] void bad(const std::string& name, const std::string& what) {
    throw Error(ErrorCode::usage, fmt::format("The configuration's \"{}\" must be {}", name, what));
}

std::string absolute(const char* name, const Json& value) {
    if (!value.is_string() || !value.get_ref<const std::string&>().starts_with('/')) {
        bad(name, "an absolute path");
    }
    return value.get<std::string>();
}

} // namespace

Config Config::read(int descriptor) {
    const Descriptor input(descriptor);
    std::string text;
    std::array<char, 16 << 10> piece{};
    for (;;) {
        const ssize_t got = ::read(input.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw SystemError("Cannot read", "the configuration", errno);
        }
        if (got == 0) {
            return Config(text);
        }
        text.append(piece.data(), static_cast<std::size_t>(got));
        if (text.size() > longest) {
            throw Error(ErrorCode::usage, fmt::format("The configuration is longer than {} bytes", longest));
        }
    }
}

Config::Config(const std::string& text) : json_(Json::parse(text, nullptr, false)) {
    if (!json_.is_object()) {
        throw Error(ErrorCode::usage, "The configuration is not a JSON object");
    }
    if (number("version", config_version, config_version).value_or(config_version) != config_version) {
        bad("version", std::to_string(config_version));
    }
}

std::optional<nlohmann::ordered_json> Config::take(const char* name) {
    const auto found = json_.find(name);
    if (found == json_.end()) {
        return std::nullopt;
    }
    std::optional<Json> value(std::move(*found));
    json_.erase(found);
    return value->is_null() ? std::nullopt : std::move(value);
}

std::string Config::text(const char* name) {
    const auto value = take(name);
    if (value && !value->is_string()) {
        bad(name, "a string");
    }
    return value ? value->get<std::string>() : std::string{};
}

std::string Config::path(const char* name) {
    const auto value = take(name);
    return value && *value != "" ? absolute(name, *value) : std::string{};
}

std::vector<std::string> Config::paths(const char* name) {
    std::vector<std::string> paths;
    const auto value = take(name);
    if (value && (!value->is_array() || value->size() > most_paths)) {
        bad(name, fmt::format("a list of at most {} paths", most_paths));
    }
    for (const Json& one : value.value_or(Json::array())) {
        paths.push_back(absolute(name, one));
    }
    return paths;
}

std::optional<std::uint64_t> Config::number(const char* name, std::uint64_t least, std::uint64_t most) {
    const auto value = take(name);
    if (!value) {
        return std::nullopt;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < least ||
        value->get<std::uint64_t>() > most) {
        bad(name, fmt::format("a number from {} to {}", least, most));
    }
    return value->get<std::uint64_t>();
}

bool Config::flag(const char* name) {
    const auto value = take(name);
    if (value && !value->is_boolean()) {
        bad(name, "true or false");
    }
    return value && value->get<bool>();
}

void Config::finish() const {
    if (!json_.empty()) {
        throw Error(ErrorCode::usage,
                    fmt::format("The configuration has a name that is not known: \"{}\"", json_.begin().key()));
    }
}

DeviceOptions take_device_options(Config& config) {
    DeviceOptions options;
    if (const auto minor = config.number("minor", 0, INT_MAX)) {
        options.minor = static_cast<int>(*minor);
    }
    const std::string backend = config.text("backend");
    if (backend == "fuse") {
        options.backend = BackendChoice::fuse;
    } else if (backend == "loop") {
        options.backend = BackendChoice::loop;
    } else if (!backend.empty() && backend != "auto") {
        bad("backend", "auto, fuse or loop");
    }
    const unsigned processors =
        std::clamp(std::thread::hardware_concurrency(), fewest_threads, most_usual_threads);
    options.threads = static_cast<unsigned>(config.number("threads", 1, most_threads).value_or(processors));
    options.sector_size = static_cast<std::uint32_t>(config.number("sector_size", 512, 4096).value_or(512));
    if ((options.sector_size & (options.sector_size - 1)) != 0) {
        bad("sector_size", "512, 1024, 2048 or 4096");
    }
    options.component = config.text("component");
    return options;
}

} // namespace disktool::server
