// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/view_folder.h"

#include "engine/runtime_folder.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace disktool {

namespace {

constexpr std::string_view name_start = "disktool-view-";

/// Where view folders lie.
std::string base_folder() {
    if (std::optional<std::string> own = runtime_folder())
        return *own;
    std::error_code none;
    const std::filesystem::path temporary = std::filesystem::temp_directory_path(none);
    return none ? "/tmp" : temporary.string();
}

Descriptor open_folder(const std::string& path) {
    return Descriptor(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// With the lock held: nobody lives in it.
void remove_stale(ProcessDoor& processes, const std::string& path) {
    const std::string mount_point = path + "/m";
    // Not asked before whether something is mounted there: a dead server's mount answers every question with an
    // error. Where nothing is mounted, this fails and does no harm.
    if (rmdir(mount_point.c_str()) != 0 && errno != ENOENT) {
        unmount_view(processes, mount_point, true);
        rmdir(mount_point.c_str());
    }
    if (rmdir(path.c_str()) == 0)
        log(LogLevel::info, fmt::format("removed {}, left by a process that was killed", path));
}

void remove_stale_in(ProcessDoor& processes, const std::string& base) {
    std::error_code none;
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(base, none)) {
        if (entry.path().filename().string().starts_with(name_start))
            found.push_back(entry.path().string());
    }
    for (const std::string& path : found) {
        const Descriptor folder = open_folder(path);
        struct stat status {};
        if (folder && fstat(folder.get(), &status) == 0 && status.st_uid == geteuid() &&
            flock(folder.get(), LOCK_EX | LOCK_NB) == 0)
            remove_stale(processes, path);
    }
}

} // namespace

int unmount_view(ProcessDoor& processes, const std::string& mount_point, bool lazily) {
    if (umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH | MNT_FORCE : 0)) == 0)
        return 0;
    if (errno != EPERM)
        return errno;
    Command command;
    command.arguments = {"fusermount3", "-u", "-q"};
    if (lazily)
        command.arguments.emplace_back("-z");
    command.arguments.insert(command.arguments.end(), {"--", mount_point});
    command.timeout = std::chrono::seconds(20);
    return processes.run(command).ok() ? 0 : EBUSY;
}

void remove_stale_views(ProcessDoor& processes) noexcept {
    try {
        remove_stale_in(processes, base_folder());
    } catch (const std::exception& error) {
        log(LogLevel::info, fmt::format("cannot look for left-over views: {}", error.what()));
    }
}

ViewFolder::ViewFolder(ProcessDoor& processes) {
    remove_stale_views(processes);
    const std::string base = base_folder();
    // Someone who tidies up may take the new folder away before it is locked; then the next one.
    for (int attempt = 0; attempt < 100; ++attempt) {
        std::string path = fmt::format("{}/{}{}-XXXXXX", base, name_start, getpid());
        if (!mkdtemp(path.data()))
            throw SystemError("Cannot make a folder for the view:", path, errno, SystemCall::make_directory);
        Descriptor lock = open_folder(path);
        struct stat status {};
        if (!lock || flock(lock.get(), LOCK_EX | LOCK_NB) != 0 || fstat(lock.get(), &status) != 0 ||
            status.st_nlink == 0)
            continue;
        path_ = std::move(path);
        lock_ = std::move(lock);
        if (mkdir(mount_point().c_str(), 0700) != 0) {
            const int error_number = errno;
            rmdir(path_.c_str());
            if (error_number == ENOENT)
                continue;
            throw SystemError("Cannot make a folder for the view:", mount_point(), error_number,
                              SystemCall::make_directory);
        }
        return;
    }
    throw Error(ErrorCode::failure, fmt::format("Cannot make a folder for the view in {}", base));
}

ViewFolder::~ViewFolder() {
    rmdir(mount_point().c_str());
    rmdir(path_.c_str());
}

} // namespace disktool
