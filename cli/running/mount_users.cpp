// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mount_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>

namespace disktool::ploop::cli {

namespace {

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

constexpr std::size_t most_users = 16; // more of them tell a reader nothing

/// Where a file lies: on which mount, and on which device in whatever mount name space.
struct Place {
    std::uint64_t mount = 0;
    unsigned first = 0, second = 0; ///< device number
};

/// Nothing is asked of the file system itself: it may be one that does not answer.
std::optional<Place> place_of(const std::string& path) {
    struct statx status {};
    if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID,
              &status) != 0) {
        return std::nullopt;
    }
    return Place{status.stx_mnt_id, status.stx_dev_major, status.stx_dev_minor};
}

class Search {
  public:
    explicit Search(const MountPoint& point)
        : mount_(static_cast<std::uint64_t>(point.id)), root_(place_of(point.path)) {}

    std::string use_by(int pid) const {
        const std::string process = fmt::format("/proc/{}/", pid);
        constexpr std::array<std::pair<const char*, const char*>, 3> single = {
            {{"cwd", "working folder"}, {"root", "root folder"}, {"exe", "program"}}};
        for (const auto& [link, how] : single) {
            if (here(place_of(process + link))) {
                return how;
            }
        }
        if (const std::string file = open_file(process + "fd"); !file.empty()) {
            return "has " + file + " open";
        }
        return maps_file(process + "maps") ? "mapped file" : "";
    }

  private:
    bool here(const std::optional<Place>& place) const {
        return place &&
               (place->mount == mount_ || (root_ && root_->mount == mount_ && place->first == root_->first &&
                                           place->second == root_->second));
    }

    std::string open_file(const std::string& folder_path) const {
        const Folder folder(opendir(folder_path.c_str()));
        while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
            const std::string link = folder_path + "/" + entry->d_name;
            if (entry->d_name[0] != '.' && here(place_of(link))) {
                std::array<char, 4096> name{};
                const ssize_t length = readlink(link.c_str(), name.data(), name.size());
                return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : "a file";
            }
        }
        return {};
    }

    /// Lines of "from-to rights offset MAJOR:MINOR inode path", the numbers in hexadecimal.
    bool maps_file(const std::string& path) const {
        std::ifstream maps(path);
        for (std::string line; root_ && std::getline(maps, line);) {
            std::istringstream words(line);
            std::string range, rights, offset, device;
            words >> range >> rights >> offset >> device;
            const std::size_t colon = device.find(':');
            unsigned first = 0, second = 0;
            if (colon == std::string::npos ||
                std::from_chars(device.data(), device.data() + colon, first, 16).ec != std::errc{} ||
                std::from_chars(device.data() + colon + 1, device.data() + device.size(), second, 16).ec !=
                    std::errc{}) {
                continue;
            }
            if (here(Place{0, first, second})) {
                return true;
            }
        }
        return false;
    }

    const std::uint64_t mount_;
    const std::optional<Place> root_;
};

std::string program_of(int pid) {
    std::string program;
    std::ifstream file(fmt::format("/proc/{}/comm", pid));
    std::getline(file, program);
    return program;
}

} // namespace

std::vector<MountUser> mount_users(const MountPoint& point) {
    std::vector<MountUser> users;
    const Search search(point);
    const Folder processes(opendir("/proc"));
    while (const dirent* entry = processes && users.size() < most_users ? readdir(processes.get()) : nullptr) {
        const std::string_view name = entry->d_name;
        int pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{} || pid == getpid()) {
            continue;
        }
        if (std::string how = search.use_by(pid); !how.empty()) {
            users.push_back({pid, program_of(pid), std::move(how)});
        }
    }
    return users;
}

std::string users_of_mount(const MountPoint& point) {
    std::vector<std::string> users;
    for (const MountUser& user : mount_users(point)) {
        users.push_back(fmt::format("{} (process {}: {})", user.program, user.pid, user.how));
    }
    return fmt::format("{}", fmt::join(users, ", "));
}

} // namespace disktool::ploop::cli
