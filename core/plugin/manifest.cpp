// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/yaml_value.h"
#include "plugin/registry.h"

#include <disktool/doors.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <charconv>

namespace disktool {
namespace {

constexpr std::size_t largest_manifest = 1 * MiB;
constexpr std::uint64_t largest_magic_offset = 1 * GiB;

PluginKind kind(const YamlValue& value) {
    const std::string text = value.text();
    for (const PluginKind kind : {PluginKind::format, PluginKind::filesystem, PluginKind::volumes}) {
        if (text == kind_text(kind)) {
            return kind;
        }
    }
    value.fail(fmt::format("kind must be format, filesystem or volumes, not \"{}\"", text));
}

std::string plugin_name(const YamlValue& value) {
    std::string text = value.text();
    if (text.empty() || text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
        value.fail(fmt::format("name must be of small letters, digits and \"-\", not \"{}\"", text));
    }
    return text;
}

std::vector<std::byte> hexadecimal(const YamlValue& value) {
    const std::string text = value.text();
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        std::uint8_t byte = 0;
        const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
        if (error != std::errc() || end != text.data() + i + 2) {
            break;
        }
        bytes.push_back(std::byte{byte});
    }
    if (text.empty() || bytes.size() * 2 != text.size()) {
        value.fail(fmt::format("hex must be pairs of hexadecimal digits, not \"{}\"", text));
    }
    return bytes;
}

Magic magic(const YamlValue& value) {
    value.expect_keys({"offset", "hex"});
    const YamlValue offset = value.require("offset");
    if (offset.number() > largest_magic_offset) {
        offset.fail(fmt::format("offset is larger than {}", largest_magic_offset));
    }
    return {offset.number(), hexadecimal(value.require("hex"))};
}

NeededProgram host_program(const YamlValue& value) {
    value.expect_keys({"name", "version", "package", "purpose"});
    NeededProgram program;
    program.name = value.require("name").text();
    if (const std::optional<YamlValue> version = value.get("version")) {
        program.version = version->text();
    }
    program.package = value.require("package").text();
    program.purpose = value.require("purpose").text();
    return program;
}

} // namespace

PluginManifest read_manifest(const std::string& path) {
    const YamlValue document = YamlValue::parse(real_doors().files.read_text(path, largest_manifest), path);
    document.expect_keys({"name", "kind", "version", "description", "licence", "recognises", "descriptors",
                          "content-types", "programs"});
    PluginManifest manifest;
    manifest.name = plugin_name(document.require("name"));
    manifest.kind = kind(document.require("kind"));
    manifest.version = document.require("version").text();
    manifest.description = document.require("description").text();
    manifest.licence = document.require("licence").text();
    if (const auto list = document.get("recognises")) {
        for (const YamlValue& item : list->items()) {
            manifest.magics.push_back(magic(item));
        }
    }
    if (const auto list = document.get("descriptors")) {
        manifest.descriptors = list->texts();
    }
    if (const auto list = document.get("content-types")) {
        manifest.content_types = list->texts();
    }
    if (const auto list = document.get("programs")) {
        for (const YamlValue& item : list->items()) {
            manifest.programs.push_back(host_program(item));
        }
    }
    manifest.folder = real_doors().files.real_path(directory_of(path));
    manifest.library = fmt::format("{}/{}.so", manifest.folder, manifest.name);
    return manifest;
}

} // namespace disktool
