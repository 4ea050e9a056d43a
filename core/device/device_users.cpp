// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_users.h"

#include "block/host_descriptor.h"
#include "device/kernel_partitions.h"

#include <disktool/error.h>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace disktool {

namespace {

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

bool among(const std::vector<std::uint64_t>& numbers, std::uint64_t number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

/// What the kernel writes as \040 and the like.
std::string unescaped(const std::string& text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned code = 0;
        if (text[at] == '\\' && at + 3 < text.size() &&
            std::from_chars(&text[at + 1], &text[at + 4], code, 8).ptr == &text[at + 4] && code < 256) {
            plain += static_cast<char>(code);
            at += 3;
        } else {
            plain += text[at];
        }
    }
    return plain;
}

/// A line of mountinfo, see proc(5). None: it is another one.
std::optional<DeviceMount> mount_of_line(const std::string& line, const std::vector<std::uint64_t>& numbers) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word;
    words >> id >> parent >> device >> root >> point;
    while (words >> word && word != "-") {
    }
    std::string filesystem, source;
    words >> filesystem >> source;
    unsigned first = 0, second = 0;
    std::uint64_t mount_id = 0;
    std::from_chars(id.data(), id.data() + id.size(), mount_id);
    const std::size_t colon = device.find(':');
    if (!words || colon == std::string::npos) {
        return std::nullopt;
    }
    std::from_chars(device.data(), device.data() + colon, first);
    std::from_chars(device.data() + colon + 1, device.data() + device.size(), second);
    std::uint64_t number = makedev(first, second);
    if (!among(numbers, number)) {
        struct stat status {};
        if (first != 0 || stat(unescaped(source).c_str(), &status) != 0 || !S_ISBLK(status.st_mode) ||
            !among(numbers, status.st_rdev)) {
            return std::nullopt;
        }
        number = status.st_rdev;
    }
    return DeviceMount{number, mount_id, unescaped(point), filesystem};
}

bool has_open(int pid, const std::vector<std::uint64_t>& numbers) {
    const Folder folder(opendir(fmt::format("/proc/{}/fd", pid).c_str()));
    if (!folder) {
        return false;
    }
    while (const dirent* entry = readdir(folder.get())) {
        struct stat status {};
        if (entry->d_name[0] != '.' && fstatat(dirfd(folder.get()), entry->d_name, &status, 0) == 0 &&
            S_ISBLK(status.st_mode) && among(numbers, status.st_rdev)) {
            return true;
        }
    }
    return false;
}

std::vector<DeviceMount> mounts_in(const std::string& table, const std::vector<std::uint64_t>& numbers) {
    std::vector<DeviceMount> mounts;
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);) {
        if (std::optional<DeviceMount> mount = mount_of_line(line, numbers)) {
            mounts.push_back(std::move(*mount));
        }
    }
    return mounts;
}

/// 0: it cannot be told.
std::uint64_t name_space_of(const std::string& process) {
    struct stat status {};
    return stat((process + "/ns/mnt").c_str(), &status) == 0 ? status.st_ino : 0;
}

void for_each_process(const std::function<void(int pid)>& action) {
    const Folder processes(opendir("/proc"));
    while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
        const std::string_view name = entry->d_name;
        int pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec == std::errc{}) {
            action(pid);
        }
    }
}

} // namespace

std::vector<DeviceMount> mounts_of(const std::vector<std::uint64_t>& device_numbers) {
    return mounts_in("/proc/self/mountinfo", device_numbers);
}

std::vector<DeviceMount> mounts_elsewhere(const std::vector<std::uint64_t>& device_numbers) {
    std::vector<DeviceMount> mounts;
    std::set<std::uint64_t> seen{name_space_of("/proc/self")};
    for_each_process([&](int pid) {
        const std::string process = fmt::format("/proc/{}", pid);
        if (!seen.insert(name_space_of(process)).second) {
            return;
        }
        for (DeviceMount& mount : mounts_in(process + "/mountinfo", device_numbers)) {
            mount.reach = process + "/root";
            mounts.push_back(std::move(mount));
        }
    });
    return mounts;
}

std::vector<DeviceOpener> openers_of(const std::vector<std::uint64_t>& device_numbers) {
    std::vector<DeviceOpener> openers;
    for_each_process([&](int pid) {
        if (pid != getpid() && has_open(pid, device_numbers)) {
            std::string program;
            std::ifstream file(fmt::format("/proc/{}/comm", pid));
            std::getline(file, program);
            openers.push_back({pid, program});
        }
    });
    return openers;
}

bool is_claimed(const std::string& node) {
    // Whoever claims a device or a partition opens it exclusively, and so shuts out another who wants all of
    // it.
    const Descriptor whole(open(node.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    return !whole && errno == EBUSY;
}

std::vector<std::uint64_t> device_numbers_of(const std::string& node) {
    struct stat status {};
    if (stat(node.c_str(), &status) != 0) {
        throw SystemError("Cannot look at", node, errno);
    }
    if (!S_ISBLK(status.st_mode)) {
        throw SystemError("Cannot look at", node, ENOTBLK);
    }
    std::vector<std::uint64_t> numbers{status.st_rdev};
    for (const KernelPartition& partition : kernel_partitions_of(status.st_rdev)) {
        numbers.push_back(partition.device_number);
    }
    return numbers;
}

std::string users_of(const std::string& node, const std::vector<std::uint64_t>& device_numbers) {
    std::vector<std::string> users;
    for (const DeviceMount& mount : mounts_of(device_numbers)) {
        users.push_back("mounted on " + mount.point);
    }
    const bool claimed = users.empty() && is_claimed(node);
    if (claimed) {
        for (const DeviceMount& mount : mounts_elsewhere(device_numbers)) {
            users.push_back(
                fmt::format("mounted on {} in another mount name space ({})", mount.point, mount.reach));
        }
    }
    if (claimed && users.empty()) {
        users.push_back("claimed by the kernel (swap, LVM, RAID, ...)");
    }
    for (const DeviceOpener& opener : openers_of(device_numbers)) {
        users.push_back(fmt::format("open in {} (process {})", opener.program, opener.pid));
    }
    return fmt::format("{}", fmt::join(users, ", "));
}

} // namespace disktool
