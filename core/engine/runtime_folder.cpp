// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/runtime_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace disktool {

namespace {

bool is_own(const std::string& path) {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return false;
    }
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & 077) == 0;
}

} // namespace

std::optional<std::string> runtime_folder() {
    std::string base = "/run";
    if (geteuid() != 0) {
        const char* const own = std::getenv("XDG_RUNTIME_DIR");
        if (own == nullptr || own[0] != '/') {
            return std::nullopt;
        }
        base = own;
    }
    std::string path = base + "/disktool";
    return is_own(path) ? std::make_optional(std::move(path)) : std::nullopt;
}

} // namespace disktool
