// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/kernel_partitions.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <linux/major.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace disktool {

namespace {

constexpr unsigned partition_major = 259; // BLOCK_EXT_MAJOR of the kernel: partitions of loop devices

bool may_be_ours(const struct stat& status) {
    return S_ISLNK(status.st_mode) || (S_ISBLK(status.st_mode) && (major(status.st_rdev) == LOOP_MAJOR ||
                                                                   major(status.st_rdev) == partition_major));
}

/// 0 or the errno value.
int make(const std::string& path, std::uint64_t number, const std::string& link_to) {
    if (mknod(path.c_str(), S_IFBLK | 0600, number) == 0) {
        return 0;
    }
    if (errno != EPERM && errno != EACCES && errno != EROFS) {
        return errno;
    }
    return symlink(link_to.c_str(), path.c_str()) == 0 ? 0 : errno;
}

} // namespace

bool is_device_node(const std::string& path, std::uint64_t device_number, const std::string& link_to) {
    struct stat status {};
    if (lstat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode)) {
        return status.st_rdev == device_number;
    }
    std::error_code error;
    return std::filesystem::read_symlink(path, error) == link_to && !error;
}

void make_device_node(const std::string& path, std::uint64_t device_number, const std::string& link_to,
                      OldNode old) {
    if (is_device_node(path, device_number, link_to)) {
        return;
    }
    struct stat status {};
    if (old == OldNode::replace && lstat(path.c_str(), &status) == 0 && may_be_ours(status)) {
        unlink(path.c_str());
    }
    if (const int error = make(path, device_number, link_to)) {
        if (error == EEXIST) {
            throw Error(
                ErrorCode::locked,
                fmt::format("{} is there already, and another program has made it: remove it if it is a "
                            "left-over",
                            path));
        }
        throw SystemError("Cannot make", path, error);
    }
}

} // namespace disktool
