// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mount_helper.h"

#include "errors.h"
#include "mount_helper_words.h"
#include "mount_table.h"
#include "output.h"
#include "running_devices.h"

#include <disktool/doors.h>

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace disktool::ploop::cli {

namespace {

constexpr int wrong_words = 1, failed = 32; // of mount(8)

/// So that "mount -a" can be said twice.
bool mounted_already(const HelperCall& call) {
    const std::optional<DeviceState> device = device_at(call.folder);
    if (!device) {
        return false;
    }
    FileDoor& files = real_doors().files;
    return files.status(call.disk).has_value() && device->disk == files.real_path(call.disk);
}

int carry_out(const HelperCall& call, int (*run)(std::vector<std::string> words)) {
    if (call.remount) {
        remount_filesystem(call.folder, *call.remount);
        return 0;
    }
    if (call.words.empty()) {
        return 0;
    }
    if (!call.disk.empty() && mounted_already(call)) {
        print(stderr, fmt::format("mount.ploop: {} is already mounted on {}\n", call.disk, call.folder));
        return 0;
    }
    std::vector<std::string> words = call.words;
    if (call.quiet) {
        words.insert(words.begin(), "-v-1");
    }
    return run(std::move(words)) == 0 ? 0 : failed;
}

} // namespace

bool is_mount_helper(const std::string& program) {
    return program == "mount.ploop" || program == "umount.ploop";
}

int run_mount_helper(const std::string& program, const std::vector<std::string>& words,
                     int (*run)(std::vector<std::string> words)) {
    try {
        return carry_out(program == "mount.ploop" ? mount_call(words) : umount_call(words), run);
    } catch (const HelpRequested&) {
        print(stdout, helper_usage(program) + "\n");
        return 0;
    } catch (const UsageError& error) {
        print(stderr, std::string(error.what()) + "\n");
        return wrong_words;
    } catch (const Error& error) {
        print(stderr, fmt::format("{}: {}\n", program, error.what()));
        return failed;
    }
}

} // namespace disktool::ploop::cli
