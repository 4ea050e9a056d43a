// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_folder.h"
#include "device/device_state.h"
#include "device/device_state_json.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace disktool {

namespace {

bool exists(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0;
}

/// Who has a number, and the way out.
std::string holder_of(int minor, const std::optional<DeviceState>& state) {
    if (!state) {
        return "another program is about to use it";
    }
    return fmt::format("{} {}", state->disk.empty() ? "a device" : state->disk,
                       state->alive
                           ? fmt::format("is there (process {})", state->pid)
                           : fmt::format("was there, its process has died, and it is still in use: unmount "
                                         "it with 'ploop umount -d /dev/ploop{}'",
                                         minor));
}

/// Why the number is not free, although nobody of us has it; empty: it is.
std::string foreign_holder(int minor) {
    if (exists(fmt::format("/sys/block/ploop{}", minor))) {
        return "the kernel's own ploop driver has a device of that name";
    }
    if (exists(fmt::format("/dev/ploop{}", minor))) {
        return "another program has made that node: remove it if it is a left-over";
    }
    return {};
}

/// The lock of a number that can be used; else `why` not.
Descriptor try_number(int minor, std::string& why) {
    Descriptor lock = open_device_lock(minor, true);
    if (!try_device_lock(lock.get())) {
        why = holder_of(minor, device_state(minor));
        return {};
    }
    // Our own lock makes it look alive.
    if (std::optional<DeviceState> state = device_state(minor)) {
        state->alive = false;
        if (!clear_away(*state)) {
            why = holder_of(minor, state);
            return {};
        }
    }
    why = foreign_holder(minor);
    return why.empty() ? std::move(lock) : Descriptor{};
}

} // namespace

std::unique_ptr<DeviceNumber> DeviceNumber::take(std::optional<int> wanted) {
    if (wanted && (*wanted < 0 || *wanted > largest_minor)) {
        throw Error(ErrorCode::usage, fmt::format("/dev/ploop{}: the number of a device is from 0 to {}",
                                                  *wanted, largest_minor));
    }
    (void)device_folder();
    std::string why;
    for (int minor = wanted.value_or(0); minor <= largest_minor; ++minor) {
        if (Descriptor lock = try_number(minor, why)) {
            return std::unique_ptr<DeviceNumber>(new DeviceNumber(minor, lock.release(), wanted.has_value()));
        }
        if (wanted) {
            throw Error(ErrorCode::locked, fmt::format("/dev/ploop{} cannot be used: {}", minor, why));
        }
    }
    throw Error(ErrorCode::locked,
                fmt::format("All devices from /dev/ploop0 to /dev/ploop{} are in use", largest_minor));
}

std::unique_ptr<DeviceNumber> DeviceNumber::adopt(int descriptor) {
    Descriptor lock(descriptor);
    std::error_code error;
    const std::string path = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", descriptor), error);
    const std::string name = std::filesystem::path(path).filename();
    const std::optional<int> minor =
        name.ends_with(".lock") ? minor_of_name(name.substr(0, name.size() - 5)) : std::nullopt;
    struct stat passed {
    }, there{};
    // The lock is the description's: taking it again changes nothing.
    if (!minor || fstat(descriptor, &passed) != 0 || stat(device_file(*minor, "lock").c_str(), &there) != 0 ||
        passed.st_dev != there.st_dev || passed.st_ino != there.st_ino || !try_device_lock(descriptor)) {
        throw Error(ErrorCode::failure, fmt::format("Descriptor {} is not the lock of a device", descriptor));
    }
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    return std::unique_ptr<DeviceNumber>(new DeviceNumber(*minor, lock.release(), true));
}

DeviceNumber::~DeviceNumber() {
    close(lock_);
}

void DeviceNumber::store(const DeviceState& state) {
    const std::string text =
        json_of(state).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    real_doors().files.replace_text(device_file(minor_, "json"), text, 0600);
}

void DeviceNumber::forget() {
    if (const std::optional<DeviceState> state = device_state(minor_)) {
        remove_device_nodes(*state);
    }
    unlink(device_file(minor_, "sock").c_str());
    unlink(device_file(minor_, "json").c_str());
}

} // namespace disktool
