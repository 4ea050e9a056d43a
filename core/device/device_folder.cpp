// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_folder.h"

#include "device/device_state.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace disktool {

namespace {

std::string folder_name() {
    const char* const other = secure_getenv("DISKTOOL_RUN");
    return other != nullptr && *other != '\0' ? other : "/run/ploop";
}

/// What lies in it is believed, and acted upon as root.
void refuse_foreign(const std::string& folder, const struct stat& status) {
    const auto refuse = [&](const std::string& why) {
        throw Error(ErrorCode::failure,
                    fmt::format("{}, the folder for the states of devices, {}: remove it, or "
                                "make it a folder of yours with mode 0700",
                                folder, why));
    };
    if (!S_ISDIR(status.st_mode)) {
        refuse("is no folder");
    }
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        refuse(fmt::format("belongs to user {}", status.st_uid));
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        refuse("may be written by others");
    }
}

} // namespace

std::optional<std::string> existing_device_folder() {
    std::string folder = folder_name();
    struct stat status {};
    if (lstat(folder.c_str(), &status) != 0) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw SystemError("Cannot look at", folder, errno);
    }
    refuse_foreign(folder, status);
    return folder;
}

std::string device_folder() {
    const std::string folder = folder_name();
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        throw SystemError("Cannot make", folder, errno);
    }
    if (auto existing = existing_device_folder()) {
        return *existing;
    }
    throw SystemError("Cannot find", folder, ENOENT);
}

std::string device_file(int minor, const std::string& suffix) {
    return fmt::format("{}/ploop{}.{}", folder_name(), minor, suffix);
}

Descriptor open_device_lock(int minor, bool make) {
    const std::string path = device_file(minor, "lock");
    Descriptor lock(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0600));
    if (!lock && (make || errno != ENOENT)) {
        throw SystemError("Cannot open", path, errno);
    }
    return lock;
}

bool try_device_lock(int lock) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (fcntl(lock, F_OFD_SETLK, &whole) == 0) {
        return true;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return false;
    }
    throw SystemError("Cannot lock", fmt::format("a file in {}", folder_name()), errno);
}

bool device_lock_held(int lock) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (fcntl(lock, F_OFD_GETLK, &whole) != 0) {
        throw SystemError("Cannot ask for the lock on", fmt::format("a file in {}", folder_name()), errno);
    }
    return whole.l_type != F_UNLCK;
}

} // namespace disktool
