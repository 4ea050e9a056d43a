// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/host_file.h"

#include "block/direct_file.h"
#include "block/host_descriptor.h"

#include <disktool/error.h>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

namespace disktool {

namespace {

/// Into the page cache (ext4 of Linux 6.18) one write of 4 MiB takes four times as long as several small ones.
constexpr std::size_t written_at_once = 1 << 20;

template <typename Call>
auto retry_interrupted(Call call) {
    for (;;) {
        const auto result = call();
        if (result != -1 || errno != EINTR)
            return result;
    }
}

FileType type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return FileType::regular;
    case S_IFDIR:
        return FileType::directory;
    case S_IFBLK:
        return FileType::block_device;
    case S_IFCHR:
        return FileType::character_device;
    case S_IFIFO:
        return FileType::fifo;
    case S_IFSOCK:
        return FileType::socket;
    case S_IFLNK:
        return FileType::symlink;
    default:
        return FileType::other;
    }
}

FileStatus status_of(const struct stat& from) {
    FileStatus status;
    status.device = from.st_dev;
    status.inode = from.st_ino;
    status.type = type_of(from.st_mode);
    status.size = static_cast<std::uint64_t>(from.st_size);
    status.allocated = static_cast<std::uint64_t>(from.st_blocks) * 512;
    status.mode = from.st_mode & 07777;
    status.owner = from.st_uid;
    status.group = from.st_gid;
    status.links = from.st_nlink;
    status.modified_ns = static_cast<std::int64_t>(from.st_mtim.tv_sec) * 1'000'000'000 + from.st_mtim.tv_nsec;
    return status;
}

/// stat(2) says 0 for the size of a block device.
FileStatus status_of_open(int descriptor, const std::string& path) {
    struct stat found {};
    if (fstat(descriptor, &found) != 0)
        throw SystemError("Cannot look at", path, errno, SystemCall::stat);
    FileStatus status = status_of(found);
    if (status.type == FileType::block_device && ioctl(descriptor, BLKGETSIZE64, &status.size) != 0)
        throw SystemError("Cannot learn the size of", path, errno, SystemCall::stat);
    return status;
}

void refuse_what_holds_no_image(const std::string& path, FileType type) {
    const char* kind = nullptr;
    if (type == FileType::directory)
        kind = "a directory";
    else if (type == FileType::fifo)
        kind = "a FIFO (named pipe)";
    else if (type == FileType::socket)
        kind = "a socket";
    if (kind)
        throw Error(ErrorCode::not_found,
                    fmt::format("{} is {}; a regular file or a block device is needed", path, kind));
}

int lock_type(LockMode mode) {
    switch (mode) {
    case LockMode::shared:
        return F_RDLCK;
    case LockMode::exclusive:
        return F_WRLCK;
    case LockMode::none:
        break;
    }
    return F_UNLCK;
}

struct flock lock_of(Range range, LockMode mode) {
    struct flock lock {};
    lock.l_type = static_cast<short>(lock_type(mode));
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(range.offset);
    lock.l_len = static_cast<off_t>(range.length);
    return lock;
}

/// ACLs are among them. What may not be set is left out.
void copy_extended_attributes(int from, int to) {
    std::vector<char> names(64 << 10); // the kernel's limit
    const ssize_t length = flistxattr(from, names.data(), names.size());
    for (ssize_t at = 0; at < length;) {
        const char* const name = names.data() + at;
        std::vector<char> value(64 << 10);
        const ssize_t size = fgetxattr(from, name, value.data(), value.size());
        if (size >= 0) {
            (void)fsetxattr(to, name, value.data(), static_cast<std::size_t>(size), 0);
        }
        at += static_cast<ssize_t>(std::strlen(name)) + 1;
    }
}

class HostFile : public File {
  public:
    HostFile(std::string path, Descriptor descriptor)
        : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

    const std::string& path() const override { return path_; }
    FileStatus status() override { return status_of_open(descriptor_.get(), path_); }
    int descriptor() const override { return descriptor_.get(); }

    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        std::size_t done = 0;
        while (done < buffer.size()) {
            const ssize_t got = retry_interrupted([&] {
                return pread(descriptor_.get(), buffer.data() + done, buffer.size() - done,
                             static_cast<off_t>(offset + done));
            });
            if (got < 0)
                fail("read", SystemCall::read, {offset + done, buffer.size() - done});
            if (got == 0)
                break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        std::size_t done = 0;
        while (done < data.size()) {
            const ssize_t put = retry_interrupted([&] {
                return pwrite(descriptor_.get(), data.data() + done,
                              std::min(data.size() - done, written_at_once), static_cast<off_t>(offset + done));
            });
            if (put <= 0) {
                if (put == 0)
                    errno = EIO; // a device that takes nothing and says nothing
                fail("write", SystemCall::write, {offset + done, data.size() - done});
            }
            done += static_cast<std::size_t>(put);
        }
    }

    void punch_hole(Range range) override {
        if (range.empty())
            return;
        if (change_space(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range) != 0)
            fail("punch a hole of", SystemCall::allocate, range);
    }

    void zero(Range range) override {
        if (range.empty() || change_space(FALLOC_FL_ZERO_RANGE, range) == 0)
            return;
        // EINVAL: a block device whose blocks the range does not keep to.
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
            fail("zero", SystemCall::allocate, range);
        const std::vector<std::byte> zeros(std::min<std::uint64_t>(range.length, 1 << 20));
        while (!range.empty()) {
            const std::size_t length = std::min<std::uint64_t>(range.length, zeros.size());
            write(range.offset, std::span(zeros).first(length));
            range = {range.offset + length, range.length - length};
        }
    }

    void allocate(Range range, bool keep_size) override {
        if (!range.empty() && change_space(keep_size ? FALLOC_FL_KEEP_SIZE : 0, range) != 0)
            fail("reserve", SystemCall::allocate, range);
    }

    void truncate(std::uint64_t size) override {
        const int result =
            retry_interrupted([&] { return ftruncate(descriptor_.get(), static_cast<off_t>(size)); });
        if (result != 0)
            throw SystemError(fmt::format("Cannot set the length to {} bytes of", size), path_, errno,
                              SystemCall::truncate);
    }

    // Not tried again after an error: the kernel forgets what it could not write, and a second call would
    // succeed.
    void sync_data() override {
        if (fdatasync(descriptor_.get()) != 0)
            throw SystemError("Cannot bring to stable storage what was written to", path_, errno,
                              SystemCall::sync);
    }

    void sync() override {
        if (fsync(descriptor_.get()) != 0)
            throw SystemError("Cannot bring to stable storage what was written to", path_, errno,
                              SystemCall::sync);
    }

    std::optional<std::uint64_t> next_data(std::uint64_t offset) override {
        const std::uint64_t size = status().size;
        if (offset >= size)
            return std::nullopt;
        const off_t found = lseek(descriptor_.get(), static_cast<off_t>(offset), SEEK_DATA);
        if (found >= 0)
            return static_cast<std::uint64_t>(found);
        if (errno == ENXIO)
            return std::nullopt;
        if (errno == EINVAL)
            return offset;
        throw SystemError("Cannot look for data in", path_, errno);
    }

    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override {
        const std::uint64_t size = status().size;
        if (offset >= size)
            return std::nullopt;
        const off_t found = lseek(descriptor_.get(), static_cast<off_t>(offset), SEEK_HOLE);
        if (found < 0) {
            if (errno == ENXIO || errno == EINVAL)
                return std::nullopt;
            throw SystemError("Cannot look for holes in", path_, errno);
        }
        // lseek counts the end of the file as a hole.
        const auto hole = static_cast<std::uint64_t>(found);
        return hole < size ? std::optional(hole) : std::nullopt;
    }

    bool try_flock(LockMode mode) override {
        const int operation = mode == LockMode::none     ? LOCK_UN
                              : mode == LockMode::shared ? LOCK_SH | LOCK_NB
                                                         : LOCK_EX | LOCK_NB;
        if (retry_interrupted([&] { return flock(descriptor_.get(), operation); }) == 0)
            return true;
        if (errno == EWOULDBLOCK)
            return false;
        throw SystemError("Cannot lock", path_, errno, SystemCall::lock);
    }

    bool try_lock_bytes(Range range, LockMode mode) override {
        struct flock lock = lock_of(range, mode);
        if (retry_interrupted([&] { return fcntl(descriptor_.get(), F_OFD_SETLK, &lock); }) == 0)
            return true;
        if (errno == EAGAIN || errno == EACCES)
            return false;
        throw SystemError(fmt::format("Cannot lock bytes {} to {} of", range.offset, range.end()), path_, errno,
                          SystemCall::lock);
    }

    bool could_lock_bytes(Range range, LockMode mode) override {
        if (mode == LockMode::none)
            return true;
        struct flock lock = lock_of(range, mode);
        if (retry_interrupted([&] { return fcntl(descriptor_.get(), F_OFD_GETLK, &lock); }) != 0)
            throw SystemError("Cannot look at the locks of", path_, errno, SystemCall::lock);
        return lock.l_type == F_UNLCK;
    }

    bool share_range(std::uint64_t offset, File& source, Range from) override {
        if (source.descriptor() < 0)
            return false;
        struct file_clone_range clone {};
        clone.src_fd = source.descriptor();
        clone.src_offset = from.offset;
        clone.src_length = from.length;
        clone.dest_offset = offset;
        if (from.empty() || ioctl(descriptor_.get(), FICLONERANGE, &clone) == 0)
            return true;
        return has_a_server() && copy_file(offset, source, from);
    }

    bool copy_range(std::uint64_t offset, File& source, Range from) override {
        // Files that cannot share, or not with these offsets, may still be copied by the host.
        return share_range(offset, source, from) ||
               (source.descriptor() >= 0 && copy_file(offset, source, from));
    }

    void take_attributes(File& model) override {
        if (model.descriptor() < 0)
            return;
        const FileStatus wanted = model.status();
        // The owner first: changing it clears set-id bits of the mode.
        if (fchown(descriptor_.get(), wanted.owner, wanted.group) != 0 && errno != EPERM)
            throw SystemError("Cannot change the owner of", path_, errno);
        if (fchmod(descriptor_.get(), wanted.mode) != 0 && errno != EPERM)
            throw SystemError("Cannot change the mode of", path_, errno);
        copy_extended_attributes(model.descriptor(), descriptor_.get());
    }

  private:
    /// One that copies by itself what it is asked to.
    bool has_a_server() const {
        struct statfs found {};
        if (fstatfs(descriptor_.get(), &found) != 0)
            return false;
        constexpr std::array<std::uint32_t, 4> network{NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
                                                       CEPH_SUPER_MAGIC};
        return std::ranges::find(network, static_cast<std::uint32_t>(found.f_type)) != network.end();
    }

    bool copy_file(std::uint64_t offset, File& source, Range from) {
        for (std::uint64_t done = 0; done < from.length;) {
            auto at = static_cast<off64_t>(from.offset + done);
            auto to = static_cast<off64_t>(offset + done);
            const ssize_t copied = retry_interrupted([&] {
                return copy_file_range(source.descriptor(), &at, descriptor_.get(), &to, from.length - done, 0);
            });
            if (copied == 0)
                return false; // the source ends before
            if (copied < 0) {
                if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
                    fail("copy", SystemCall::write, {offset + done, from.length - done});
                return false;
            }
            done += static_cast<std::uint64_t>(copied);
        }
        return true;
    }

    int change_space(int mode, Range range) const {
        return retry_interrupted([&] {
            return fallocate(descriptor_.get(), mode, static_cast<off_t>(range.offset),
                             static_cast<off_t>(range.length));
        });
    }

    [[noreturn]] void fail(std::string_view action, SystemCall call, Range range) const {
        const int error_number = errno;
        throw SystemError(fmt::format("Cannot {} {} bytes at offset {} of", action, range.length, range.offset),
                          path_, error_number, call);
    }

    std::string path_;
    Descriptor descriptor_;
};

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};

int system_flags(const OpenFlags& flags) {
    int result = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    result |= flags.write ? O_RDWR : O_RDONLY;
    if (flags.create)
        result |= O_CREAT;
    if (flags.create && flags.exclusive)
        result |= O_EXCL;
    if (flags.truncate)
        result |= O_TRUNC;
    if (!flags.follow_links)
        result |= O_NOFOLLOW;
    return result;
}

} // namespace

std::unique_ptr<File> HostFileDoor::open(const std::string& path, OpenFlags flags) {
    const auto open_with = [&](int more_flags) {
        return retry_interrupted(
            [&] { return ::open(path.c_str(), system_flags(flags) | more_flags, flags.mode); });
    };
    Descriptor descriptor(open_with(O_NOATIME));
    if (!descriptor && errno == EPERM) // only the owner and root may ask for O_NOATIME
        descriptor = Descriptor(open_with(0));
    if (!descriptor) {
        const int error_number = errno;
        if (error_number == ENXIO || error_number == EISDIR) // a socket; a directory opened for writing
            if (const auto found = status(path, flags.follow_links))
                refuse_what_holds_no_image(path, found->type);
        throw SystemError("Cannot open", path, error_number,
                          flags.create ? SystemCall::create : SystemCall::open);
    }
    const FileStatus found = status_of_open(descriptor.get(), path);
    refuse_what_holds_no_image(path, found.type);
    // O_NONBLOCK has done its work, and a child that gets the descriptor does not expect it.
    const int now = fcntl(descriptor.get(), F_GETFL);
    if (now < 0 || fcntl(descriptor.get(), F_SETFL, now & ~O_NONBLOCK) != 0)
        throw SystemError("Cannot open", path, errno, SystemCall::open);
    auto file = std::make_unique<HostFile>(path, std::move(descriptor));
    if (flags.cache == HostCache::all || found.type != FileType::regular)
        return file;
    return past_host_cache(std::move(file), flags);
}

std::optional<FileStatus> HostFileDoor::status(const std::string& path, bool follow_links) {
    struct stat found {};
    if (fstatat(AT_FDCWD, path.c_str(), &found, follow_links ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return std::nullopt;
        throw SystemError("Cannot look at", path, errno, SystemCall::stat);
    }
    FileStatus status = status_of(found);
    if (status.type == FileType::block_device) {
        // Who may not read it learns the rest, but not the size.
        const Descriptor device(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (device)
            status = status_of_open(device.get(), path);
    }
    return status;
}

std::string HostFileDoor::real_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
    if (!real)
        throw SystemError("Cannot find", path, errno, SystemCall::open);
    return real.get();
}

std::vector<std::string> HostFileDoor::list(const std::string& directory) {
    const std::unique_ptr<DIR, CloseFolder> folder(opendir(directory.c_str()));
    if (!folder)
        throw SystemError("Cannot list", directory, errno, SystemCall::open);
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* const entry = readdir(folder.get());
        if (!entry)
            break;
        std::string name = entry->d_name;
        if (name != "." && name != "..")
            names.push_back(std::move(name));
    }
    if (errno != 0)
        throw SystemError("Cannot list", directory, errno, SystemCall::open);
    std::sort(names.begin(), names.end());
    return names;
}

void HostFileDoor::rename(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0)
        throw SystemError("Cannot rename " + from + " to", to, errno, SystemCall::rename);
}

void HostFileDoor::link(const std::string& existing, const std::string& name) {
    if (::link(existing.c_str(), name.c_str()) != 0)
        throw SystemError("Cannot give " + existing + " the second name", name, errno, SystemCall::create);
}

void HostFileDoor::remove(const std::string& path) {
    if (unlink(path.c_str()) != 0)
        throw SystemError("Cannot remove", path, errno, SystemCall::remove);
}

void HostFileDoor::sync_directory(const std::string& directory) {
    const Descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder)
        throw SystemError("Cannot open the directory", directory, errno, SystemCall::open);
    if (fsync(folder.get()) != 0)
        throw SystemError("Cannot bring to stable storage the directory", directory, errno, SystemCall::sync);
}

std::uint64_t HostFileDoor::free_space(const std::string& path) {
    struct statvfs found {};
    if (retry_interrupted([&] { return statvfs(path.c_str(), &found); }) != 0)
        throw SystemError("Cannot learn the free space of the file system that holds", path, errno,
                          SystemCall::stat);
    const std::uint64_t unit = found.f_frsize;
    const std::uint64_t most = unit == 0 ? 0 : std::numeric_limits<std::uint64_t>::max() / unit;
    return std::min<std::uint64_t>(found.f_bavail, most) * unit;
}

} // namespace disktool
