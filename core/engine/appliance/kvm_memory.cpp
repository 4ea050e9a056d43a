// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance/kvm_memory.h"

#include "engine/runtime_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <chrono>
#include <filesystem>

namespace disktool {

namespace {

constexpr std::chrono::hours believed{24}; // a module may have been mended without a reboot
constexpr std::size_t longest = 4096;

} // namespace

std::string kvm_memory_path() {
    const std::optional<std::string> folder = runtime_folder();
    return folder ? *folder + "/kvm-fails" : "";
}

std::optional<std::string> remembered_kvm_failure(const std::string& path) {
    std::error_code error;
    const auto written = std::filesystem::last_write_time(path, error);
    if (path.empty() || error || std::filesystem::file_time_type::clock::now() - written > believed) {
        return std::nullopt;
    }
    try {
        return real_doors().files.read_text(path, longest);
    } catch (const Error&) {
        return std::nullopt;
    }
}

void remember_kvm_failure(const std::string& path, const std::string& why) {
    if (path.empty()) {
        return;
    }
    try {
        real_doors().files.replace_text(path, why.substr(0, longest));
    } catch (const Error&) {
    }
}

} // namespace disktool
