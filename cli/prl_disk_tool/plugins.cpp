// SPDX-License-Identifier: LGPL-2.1-or-later
// --list-plugins and --dump-plugin NAME.
#include "command.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool::cli {

namespace {

std::string hex(const std::vector<std::byte>& bytes) {
    std::string text;
    for (std::byte byte : bytes) {
        text += fmt::format("{:02x}", static_cast<unsigned>(byte));
    }
    return text;
}

Json manifest_json(const PluginManifest& manifest) {
    Json json = {{"name", manifest.name},       {"kind", kind_text(manifest.kind)},
                 {"version", manifest.version}, {"description", manifest.description},
                 {"licence", manifest.licence}, {"library", manifest.library}};
    json["recognises"] = Json::array();
    for (const Magic& magic : manifest.magics) {
        json["recognises"].push_back({{"offset", magic.offset}, {"hex", hex(magic.bytes)}});
    }
    json["content_types"] = manifest.content_types;
    json["programs"] = Json::array();
    for (const NeededProgram& program : manifest.programs) {
        json["programs"].push_back({{"name", program.name},
                                    {"version", program.version},
                                    {"package", program.package},
                                    {"purpose", program.purpose}});
    }
    return json;
}

} // namespace

void run_list_plugins(Run& run) {
    run.json() = {{"plugins", Json::array()}};
    for (const PluginManifest& manifest : run.registry().manifests()) {
        run.json()["plugins"].push_back(manifest_json(manifest));
        run.say(fmt::format("{:<12} {:<11} {:<8} {}", manifest.name, kind_text(manifest.kind), manifest.version,
                            manifest.description));
    }
}

void run_dump_plugin(Run& run) {
    const std::string& name = run.arguments().plugin;
    const PluginManifest* manifest = run.registry().find(name);
    if (manifest == nullptr) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("there is no plugin \"{}\"; prl_disk_tool --list-plugins shows which there are", name));
    }
    const PluginDeclaration& declaration = run.registry().declaration(name);
    Json json = manifest_json(*manifest);
    json["api_version"] = declaration.api_version;
    json["abi_epoch"] = declaration.abi_epoch;
    for (const auto& [key, value] : json.items()) {
        run.say(fmt::format("{}={}", key, value.is_string() ? value.get<std::string>() : value.dump()));
    }
    run.json() = {{"plugin", json}};
}

} // namespace disktool::cli
