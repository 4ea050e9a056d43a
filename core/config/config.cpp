// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config.h"

#include "config/yaml_value.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <cstdlib>

namespace disktool {
namespace {

constexpr std::size_t largest_file = 1 * MiB;
constexpr std::uint64_t longest_wait = 365ull * 24 * 3600; ///< seconds
constexpr std::uint64_t largest_memory = 1 << 20;          ///< MiB

std::vector<std::string> folders(const YamlValue& list) {
    std::vector<std::string> paths;
    for (const YamlValue& item : list.items()) {
        const std::string path = item.text();
        if (!path.starts_with('/')) {
            item.fail(fmt::format("\"{}\" must be an absolute path", path));
        }
        paths.push_back(path);
    }
    return paths;
}

std::uint64_t bounded(const YamlValue& value, std::uint64_t least, std::uint64_t most) {
    const std::uint64_t number = value.number();
    if (number < least || number > most) {
        value.fail(fmt::format("{} is not between {} and {}", number, least, most));
    }
    return number;
}

std::chrono::seconds seconds(const YamlValue& value, std::uint64_t least) {
    return std::chrono::seconds(bounded(value, least, longest_wait));
}

Engine engine(const YamlValue& value) {
    const std::optional<Engine> engine = engine_by_name(value.text());
    if (!engine) {
        value.fail(fmt::format("engine must be auto, native or appliance, not \"{}\"", value.text()));
    }
    return *engine;
}

std::optional<std::chrono::seconds> lock_wait(const YamlValue& value) {
    const std::string text = value.text();
    if (text == "never") {
        return std::nullopt;
    }
    if (text == "forever") {
        return std::chrono::seconds(0);
    }
    return seconds(value, 1);
}

ApplianceConfig::Acceleration acceleration(const YamlValue& value) {
    const std::string text = value.text();
    if (text == "auto") {
        return ApplianceConfig::Acceleration::automatic;
    }
    if (text == "kvm") {
        return ApplianceConfig::Acceleration::kvm;
    }
    if (text == "emulation") {
        return ApplianceConfig::Acceleration::emulation;
    }
    value.fail(fmt::format("acceleration must be auto, kvm or emulation, not \"{}\"", text));
}

ApplianceConfig appliance(const YamlValue& mapping) {
    mapping.expect_keys({"acceleration", "memory", "boot-timeout"});
    ApplianceConfig config;
    if (const auto value = mapping.get("acceleration")) {
        config.acceleration = acceleration(*value);
    }
    if (const auto value = mapping.get("memory")) {
        config.memory = bounded(*value, 256, largest_memory) * MiB;
    }
    if (const auto value = mapping.get("boot-timeout")) {
        config.boot_timeout = seconds(*value, 1);
    }
    return config;
}

Config read_config(const std::string& path) {
    return parse_config(real_doors().files.read_text(path, largest_file), path);
}

} // namespace

Config parse_config(const std::string& text, const std::string& file_name) {
    const YamlValue document = YamlValue::parse(text, file_name);
    document.expect_keys({"plugin-path", "allow-backing", "engine", "wait", "appliance"});
    Config config;
    config.source = file_name;
    if (const auto value = document.get("plugin-path")) {
        config.plugin_path = folders(*value);
    }
    if (const auto value = document.get("allow-backing")) {
        config.allow_backing = folders(*value);
    }
    if (const auto value = document.get("engine")) {
        config.engine = engine(*value);
    }
    if (const auto value = document.get("wait")) {
        config.wait = lock_wait(*value);
    }
    if (const auto value = document.get("appliance")) {
        config.appliance = appliance(*value);
    }
    return config;
}

Config load_config() {
    if (const char* named = std::getenv("DISKTOOL_CONFIG")) {
        return read_config(named);
    }
    const std::string standard = "/etc/disktool/disktool.yaml";
    return real_doors().files.status(standard) ? read_config(standard) : Config{};
}

std::optional<Engine> engine_by_name(const std::string& name) {
    if (name == "auto") {
        return Engine::automatic;
    }
    if (name == "native") {
        return Engine::native;
    }
    if (name == "appliance") {
        return Engine::appliance;
    }
    return std::nullopt;
}

std::string name(Engine engine) {
    switch (engine) {
    case Engine::native:
        return "native";
    case Engine::appliance:
        return "appliance";
    case Engine::automatic:
        break;
    }
    return "auto";
}

} // namespace disktool
