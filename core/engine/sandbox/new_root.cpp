// SPDX-License-Identifier: LGPL-2.1-or-later
// The new root is a tmpfs mounted on /tmp that changes places with the old root. Then everything of the old one
// can be reached below /old, also what lies in its /tmp, until /old is let go.
#include "new_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace disktool::sandbox {

namespace {

const std::string old_root = "/old";

/// The flags that the kernel does not let a bind mount lose.
unsigned long kept_flags(const std::string& path) {
    struct statvfs status {};
    if (statvfs(path.c_str(), &status) != 0)
        return 0;
    constexpr std::array pairs{std::pair{ST_RDONLY, MS_RDONLY},    std::pair{ST_NOSUID, MS_NOSUID},
                               std::pair{ST_NODEV, MS_NODEV},      std::pair{ST_NOEXEC, MS_NOEXEC},
                               std::pair{ST_NOATIME, MS_NOATIME},  std::pair{ST_NODIRATIME, MS_NODIRATIME},
                               std::pair{ST_RELATIME, MS_RELATIME}};
    unsigned long flags = 0;
    for (const auto& [from, to] : pairs)
        flags |= (status.f_flag & static_cast<unsigned long>(from)) != 0 ? static_cast<unsigned long>(to) : 0;
    return flags;
}

void make_parents(const std::string& path) {
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        mkdir(path.substr(0, slash).c_str(), 0755);
}

/// A place of the same kind to mount `source` on.
bool make_place(const std::string& path, bool folder) {
    make_parents(path);
    if (folder)
        return mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return file >= 0 && close(file) == 0;
}

/// Shows `path` of the old root at the same place of the new one. True also where it is not there.
bool show(const std::string& path, unsigned long flags) {
    const std::string source = old_root + path;
    struct stat status {};
    if (lstat(source.c_str(), &status) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    if (S_ISLNK(status.st_mode)) { // /bin, /lib of a system with all in /usr
        std::array<char, 4096> target{};
        make_parents(path);
        return readlink(source.c_str(), target.data(), target.size() - 1) > 0 &&
               (symlink(target.data(), path.c_str()) == 0 || errno == EEXIST);
    }
    return make_place(path, S_ISDIR(status.st_mode)) &&
           mount(source.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
           mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags | kept_flags(path), nullptr) == 0;
}

bool change_root() {
    return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") == 0 &&
           mkdir("/tmp/old", 0700) == 0 && syscall(SYS_pivot_root, "/tmp", "/tmp/old") == 0 && chdir("/") == 0;
}

bool fill(const Request& request, bool with_proc, const Report& report) {
    // First, since paths may lie in it.
    if (mkdir("/tmp", 0755) != 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=256m") != 0)
        return false;
    for (const std::string& path : request.readable) {
        if (!show(path, MS_RDONLY | MS_NOSUID | MS_NODEV))
            return false;
    }
    for (const std::string& path : request.writable) {
        if (!show(path, MS_NOSUID | MS_NODEV | MS_NOEXEC))
            return false;
    }
    for (const char* device : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
        if (!show(device, MS_NOSUID | MS_NOEXEC))
            return false;
    }
    mkdir("/proc", 0755);
    if (with_proc && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
        report.missing("/proc");
    return true;
}

} // namespace

void make_root(const Request& request, bool with_proc, const Report& report) {
    if (!change_root()) {
        report.missing("a root of its own");
        return;
    }
    if (!fill(request, with_proc, report)) {
        // Without it the program would not even start: go on as before.
        report.missing("a root that shows only what is needed");
        if (chroot(old_root.c_str()) != 0 || chdir("/") != 0)
            report.missing("the way back to the old root");
        return;
    }
    if (umount2(old_root.c_str(), MNT_DETACH) != 0 || rmdir(old_root.c_str()) != 0 ||
        mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0)
        report.missing("a read-only root");
}

} // namespace disktool::sandbox
