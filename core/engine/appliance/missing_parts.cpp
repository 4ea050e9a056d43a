// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance/missing_parts.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace disktool {

namespace {

constexpr const char* supermin = "/usr/bin/supermin"; // the path is built into libguestfs

bool in_path(FileDoor& files, std::string_view program) {
    const char* const variable = std::getenv("PATH");
    std::string_view rest = variable ? variable : "/usr/bin:/bin";
    while (!rest.empty()) {
        const std::size_t colon = rest.find(':');
        const std::string_view folder = rest.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
        if (files.status(fmt::format("{}/{}", folder, program)))
            return true;
    }
    return false;
}

bool readable(FileDoor& files, const std::string& path) {
    try {
        files.open(path, {});
        return true;
    } catch (const Error&) {
        return false;
    }
}

std::vector<std::string> kernels(FileDoor& files) {
    std::vector<std::string> result;
    if (files.status("/boot"))
        for (const std::string& name : files.list("/boot"))
            if (name.starts_with("vmlinuz-"))
                result.push_back("/boot/" + name);
    if (files.status("/lib/modules"))
        for (const std::string& version : files.list("/lib/modules"))
            if (const std::string path = fmt::format("/lib/modules/{}/vmlinuz", version); files.status(path))
                result.push_back(path);
    return result;
}

} // namespace

std::vector<std::string> missing_parts(FileDoor& files, const std::string& emulator) {
    std::vector<std::string> result;
    if (!files.status(emulator))
        result.push_back(fmt::format("{} is missing (package qemu-system-x86)", emulator));
    if (!in_path(files, "qemu-img"))
        result.emplace_back("qemu-img is missing (package qemu-utils)");
    if (!files.status(supermin))
        result.push_back(fmt::format("{} is missing (package supermin)", supermin));
    const std::vector<std::string> found = kernels(files);
    if (found.empty())
        result.emplace_back("there is no kernel in /boot (package linux-image-amd64)");
    else if (std::none_of(found.begin(), found.end(), [&](const auto& path) { return readable(files, path); }))
        result.push_back(
            fmt::format("the kernel {} cannot be read (run as root, or make it readable)", found.front()));
    return result;
}

} // namespace disktool
