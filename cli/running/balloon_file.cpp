// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_file.h"

#include "ploop_error.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace disktool::ploop::cli {

namespace {

/// OpenVZ's ext4. On other kernels the number is free, but nobody promises that it stays so.
constexpr unsigned long open_hidden_balloon = _IO('f', 42);

struct stat status_of(int descriptor, const std::string& path) {
    struct stat status {};
    if (fstat(descriptor, &status) != 0) {
        throw SystemError("Cannot look at", path, errno);
    }
    return status;
}

/// Writable while this lives. A file system without the attribute has none to take off.
class Unlocked {
  public:
    explicit Unlocked(int descriptor) : descriptor_(descriptor) { set(false); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
    ~Unlocked() { set(true); }

  private:
    void set(bool immutable) const {
        int flags = 0;
        if (ioctl(descriptor_, FS_IOC_GETFLAGS, &flags) == 0) {
            flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
            (void)ioctl(descriptor_, FS_IOC_SETFLAGS, &flags); // whoever opens it for writing sees if it failed
        }
    }

    int descriptor_;
};

[[noreturn]] void refuse_allocation(const std::string& path, std::uint64_t from, std::uint64_t to, int error) {
    if (error == EOPNOTSUPP) {
        throw PloopError(Exit::allocate, ErrorCode::unsupported,
                         fmt::format("{}: this file system cannot reserve room for a file (fallocate), as ext3 "
                                     "cannot, so it has no balloon. Unmount the disk and resize it then",
                                     path),
                         Reason::filesystem_not_supported);
    }
    throw PloopError(Exit::allocate,
                     error == ENOSPC || error == EDQUOT ? ErrorCode::no_space : ErrorCode::failure,
                     fmt::format("Cannot inflate the balloon {} from {} to {} bytes: {}; it keeps its size",
                                 path, from, to, std::strerror(error)));
}

} // namespace

BalloonFile::BalloonFile(const std::string& root)
    : root_(root == "/" ? "" : root), folder_(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!folder_) {
        throw SystemError("Cannot open", root, errno);
    }
}

disktool::Descriptor BalloonFile::open_hidden() const {
    struct statfs filesystem {};
    struct stat entry {};
    if (stat("/proc/vz", &entry) != 0 || fstatfs(folder_.get(), &filesystem) != 0 ||
        filesystem.f_type != EXT4_SUPER_MAGIC) {
        return disktool::Descriptor();
    }
    disktool::Descriptor hidden(ioctl(folder_.get(), open_hidden_balloon));
    struct stat status {};
    const bool right = hidden.get() > STDERR_FILENO && fstat(hidden.get(), &status) == 0 &&
                       S_ISREG(status.st_mode) && status.st_dev == status_of(folder_.get(), root_).st_dev;
    if (!right) {
        (void)hidden.release(); // a number that is no descriptor of ours
        return disktool::Descriptor();
    }
    return hidden;
}

disktool::Descriptor BalloonFile::open_for(int flags) const {
    if (disktool::Descriptor hidden = open_hidden()) {
        return hidden;
    }
    disktool::Descriptor file(openat(folder_.get(), std::string(balloon_name).c_str(),
                                     flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
    if (!file && errno == ENOENT) {
        return file;
    }
    const int error = errno;
    struct stat status {};
    if (file) {
        status = status_of(file.get(), path());
    }
    if ((!file && error == ELOOP) ||
        (file && (!S_ISREG(status.st_mode) || status.st_nlink != 1 || status.st_uid != 0 ||
                  status.st_dev != status_of(folder_.get(), root_).st_dev))) {
        throw PloopError(
            Exit::invalid_parameter, ErrorCode::damaged,
            fmt::format("{} is not the balloon: a plain file of root's with one name is. Remove it, "
                        "and a new one is made",
                        path()));
    }
    if (!file) {
        throw SystemError("Cannot open", path(), error);
    }
    return file;
}

bool BalloonFile::exists() const {
    return static_cast<bool>(open_for(O_RDONLY));
}

std::uint64_t BalloonFile::size() const {
    const disktool::Descriptor file = open_for(O_RDONLY);
    return file ? static_cast<std::uint64_t>(status_of(file.get(), path()).st_size) : 0;
}

std::uint64_t BalloonFile::allocated() const {
    const disktool::Descriptor file = open_for(O_RDONLY);
    return file ? static_cast<std::uint64_t>(status_of(file.get(), path()).st_blocks) * 512 : 0;
}

void BalloonFile::resize(std::uint64_t new_size) {
    const disktool::Descriptor present = open_for(O_RDONLY);
    if (!present && new_size == 0) {
        return;
    }
    const disktool::Descriptor made = present ? disktool::Descriptor() : open_for(O_RDONLY | O_CREAT | O_EXCL);
    const int locked = present ? present.get() : made.get();
    const std::uint64_t size = static_cast<std::uint64_t>(status_of(locked, path()).st_size);
    const Unlocked unlocked(locked);
    const disktool::Descriptor file = open_for(O_RDWR);
    if (!file || status_of(file.get(), path()).st_ino != status_of(locked, path()).st_ino) {
        throw PloopError(Exit::no_memory_or_failure, ErrorCode::locked,
                         fmt::format("{} was changed by someone else meanwhile", path()));
    }
    if (new_size < size && ftruncate(file.get(), static_cast<off_t>(new_size)) != 0) {
        throw SystemError("Cannot cut", path(), errno);
    }
    const bool has_all = static_cast<std::uint64_t>(status_of(file.get(), path()).st_blocks) * 512 >= new_size;
    if ((new_size > size || !has_all) && fallocate(file.get(), 0, 0, static_cast<off_t>(new_size)) != 0) {
        const int error = errno;
        if (new_size > size) {
            (void)ftruncate(file.get(), static_cast<off_t>(size)); // it may have got a part
        }
        refuse_allocation(path(), size, new_size, error);
    }
    if (fsync(file.get()) != 0) {
        throw PloopError(Exit::sync, ErrorCode::failure,
                         fmt::format("Cannot sync {}: {}", path(), std::strerror(errno)));
    }
}

std::vector<Range> BalloonFile::places() const {
    std::vector<Range> found;
    const disktool::Descriptor file = open_for(O_RDONLY);
    constexpr std::size_t at_once = 256;
    // A head with its extents behind it, in whole words for their alignment.
    std::vector<std::uint64_t> words((sizeof(fiemap) + at_once * sizeof(fiemap_extent)) /
                                     sizeof(std::uint64_t));
    auto* const request = reinterpret_cast<fiemap*>(words.data());
    std::uint64_t start = 0;
    for (bool last = !file; !last;) {
        std::ranges::fill(words, 0);
        request->fm_start = start;
        request->fm_length = FIEMAP_MAX_OFFSET - start;
        request->fm_flags = FIEMAP_FLAG_SYNC;
        request->fm_extent_count = at_once;
        if (ioctl(file.get(), FS_IOC_FIEMAP, request) != 0) {
            throw SystemError("Cannot learn where the blocks are of", path(), errno);
        }
        last = request->fm_mapped_extents == 0;
        for (std::size_t i = 0; i < std::min<std::size_t>(request->fm_mapped_extents, at_once); ++i) {
            const fiemap_extent& extent = request->fm_extents[i];
            start = extent.fe_logical + extent.fe_length;
            last = last || (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
            constexpr unsigned nowhere =
                FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE;
            if ((extent.fe_flags & nowhere) == 0) {
                found.push_back({extent.fe_physical, extent.fe_length});
            }
        }
    }
    return found;
}

} // namespace disktool::ploop::cli
