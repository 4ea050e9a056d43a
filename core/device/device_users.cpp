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
#include <memory>
#include <sstream>

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
    return DeviceMount{number, unescaped(point), filesystem};
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

} // namespace

std::vector<DeviceMount> mounts_of(const std::vector<std::uint64_t>& device_numbers) {
    std::vector<DeviceMount> mounts;
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
        if (std::optional<DeviceMount> mount = mount_of_line(line, device_numbers)) {
            mounts.push_back(std::move(*mount));
        }
    }
    return mounts;
}

std::vector<DeviceOpener> openers_of(const std::vector<std::uint64_t>& device_numbers) {
    std::vector<DeviceOpener> openers;
    const Folder processes(opendir("/proc"));
    while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
        const std::string name = entry->d_name;
        int pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{} || pid == getpid() ||
            !has_open(pid, device_numbers)) {
            continue;
        }
        std::string program;
        std::ifstream file("/proc/" + name + "/comm");
        std::getline(file, program);
        openers.push_back({pid, program});
    }
    return openers;
}

bool is_claimed(const std::string& node) {
    // Whoever claims a device or a partition opens it exclusively, and so shuts out another who wants all of
    // it.
    const Descriptor whole(open(node.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    return !whole && errno == EBUSY;
}

std::vector<std::uint64_t> device_numbers_of(int disk) {
    struct stat status {};
    if (fstat(disk, &status) != 0) {
        throw SystemError("Cannot look at", "a block device", errno);
    }
    std::vector<std::uint64_t> numbers{status.st_rdev};
    for (const KernelPartition& partition : kernel_partitions(disk)) {
        numbers.push_back(partition.device_number);
    }
    return numbers;
}

std::string users_of(const std::string& node, const std::vector<std::uint64_t>& device_numbers) {
    std::vector<std::string> users;
    for (const DeviceMount& mount : mounts_of(device_numbers)) {
        users.push_back("mounted on " + mount.point);
    }
    for (const DeviceOpener& opener : openers_of(device_numbers)) {
        users.push_back(fmt::format("open in {} (process {})", opener.program, opener.pid));
    }
    if (users.empty() && is_claimed(node)) {
        users.push_back("claimed by the kernel (a mount in another name space, swap, LVM, RAID, ...)");
    }
    return fmt::format("{}", fmt::join(users, ", "));
}

} // namespace disktool
