// SPDX-License-Identifier: LGPL-2.1-or-later
// What a device's process leaves when it is killed, and how it goes.
#include "block/host_descriptor.h"
#include "device/device_folder.h"
#include "device/device_state.h"
#include "device/device_users.h"
#include "device/kernel_partitions.h"
#include "device/loop_device.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace disktool {

namespace {

/// Does the loop device bear that name? Meanwhile it may have become somebody else's.
bool bears_name(const std::string& node, const std::string& name) {
    const Descriptor device(open(node.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    loop_info64 info{};
    if (!device || ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) {
        return false;
    }
    const std::string_view shown(reinterpret_cast<const char*>(info.lo_file_name), LO_NAME_SIZE);
    return shown.substr(0, shown.find('\0')) == name;
}

/// Killed between attaching and writing down what was attached, only the name is known.
std::string loop_of(const DeviceState& state) {
    if (state.loop_name.empty()) {
        return {};
    }
    if (!state.loop.empty()) {
        return bears_name(state.loop, state.loop_name) ? state.loop : std::string{};
    }
    for (const std::string& name : real_doors().files.list("/sys/block")) {
        if (name.starts_with("loop") && bears_name("/dev/" + name, state.loop_name)) {
            return "/dev/" + name;
        }
    }
    return {};
}

/// Another program may have made a node of that name. Also where it has none any more.
bool has_its_node(const DeviceState& state) {
    struct stat node {
    }, loop{};
    if (lstat(state.node.c_str(), &node) != 0) {
        return true;
    }
    // Where the loop device's own node is missing, its number is not known, and the name has to do.
    const dev_t number = stat(state.loop.c_str(), &loop) == 0 ? loop.st_rdev : node.st_rdev;
    return !state.loop.empty() && is_device_node(state.node, number, state.loop);
}

void remove_node(const std::string& path) {
    struct stat status {};
    if (lstat(path.c_str(), &status) == 0 && (S_ISBLK(status.st_mode) || S_ISLNK(status.st_mode))) {
        unlink(path.c_str());
    }
}

} // namespace

void remove_device_nodes(const DeviceState& state) {
    if (!has_its_node(state)) {
        return;
    }
    for (const DevicePartition& partition : state.partitions) {
        remove_node(partition.node);
    }
    if (!state.node.empty()) {
        remove_node(state.node);
    }
}

bool clear_away(const DeviceState& state) {
    if (const std::string node = loop_of(state); !node.empty()) {
        if (std::optional<LoopDevice> loop = LoopDevice::find(node)) {
            const std::vector<std::uint64_t> numbers = device_numbers_of(node);
            const bool spoilt = loop->refuses_discards();
            if (!users_of(node, numbers).empty() || !loop->detach()) {
                return false;
            }
            if (spoilt) {
                LoopDevice::renew(loop->number());
            }
        }
    }
    remove_device_nodes(state);
    unlink(device_file(state.minor, "sock").c_str());
    unlink(device_file(state.minor, "json").c_str());
    return true;
}

bool remove_unknown_state(int minor) {
    const Descriptor lock = open_device_lock(minor, true);
    if (!try_device_lock(lock.get())) {
        return false;
    }
    if (has_unknown_state(minor)) {
        unlink(device_file(minor, "sock").c_str());
        unlink(device_file(minor, "json").c_str());
    }
    return true;
}

bool remove_dead_device(const DeviceState& state) {
    const Descriptor lock = open_device_lock(state.minor, true);
    if (!try_device_lock(lock.get())) {
        return false;
    }
    // Meanwhile it may have gone, or become another one.
    const std::optional<DeviceState> now = device_state(state.minor);
    return !now || (now->pid == state.pid && now->loop_name == state.loop_name && clear_away(*now));
}

} // namespace disktool
