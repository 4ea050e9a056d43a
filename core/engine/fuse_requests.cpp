// SPDX-License-Identifier: LGPL-2.1-or-later
// Inode 1 is the folder, inode 2 + i is file i. Nothing of this ever changes, so the kernel may remember it.
#include "engine/fuse_requests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <exception>

namespace disktool {

namespace {

constexpr double for_ever = 86400; // seconds that the kernel may remember an answer
constexpr fuse_ino_t first_file = 2;
constexpr unsigned max_write = 1 << 20;
// Of the kernel's interface (include/uapi/linux/fuse.h); libfuse has no names for them before 3.15.
constexpr std::uint32_t fopen_direct_io = 1 << 0;
constexpr std::uint32_t fopen_parallel_direct_writes = 1 << 6;
struct OpenReply { // struct fuse_open_out
    std::uint64_t handle;
    std::uint32_t flags;
    std::uint32_t padding;
};

ViewContent& content_of(fuse_req_t request) {
    return *static_cast<ViewContent*>(fuse_req_userdata(request));
}

const ViewFile* file_of(const ViewContent& content, fuse_ino_t inode) {
    return inode >= first_file && inode - first_file < content.files.size() ? &content.files[inode - first_file]
                                                                            : nullptr;
}

/// No exception may pass through libfuse.
template <typename Action>
void answered(fuse_req_t request, Action action) noexcept {
    try {
        action(content_of(request));
    } catch (const std::exception&) { // no memory
        fuse_reply_err(request, EIO);
    }
}

/// As answered, for a request on a file.
template <typename Action>
void on_file(fuse_req_t request, fuse_ino_t inode, Action action) noexcept {
    answered(request, [&](ViewContent& content) {
        if (const ViewFile* const file = file_of(content, inode))
            action(content, *file);
        else
            fuse_reply_err(request, inode == FUSE_ROOT_ID ? EISDIR : ENOENT);
    });
}

struct stat attributes(const ViewContent& content, fuse_ino_t inode) {
    struct stat status {};
    status.st_ino = inode;
    status.st_uid = content.options.owner;
    status.st_gid = content.options.group;
    status.st_atim = status.st_mtim = status.st_ctim = content.made;
    status.st_blksize = 4096;
    if (const ViewFile* const file = file_of(content, inode)) {
        status.st_mode = S_IFREG | (content.device.writable() ? 0600 : 0400);
        status.st_nlink = 1;
        status.st_size = static_cast<off_t>(file->range.length);
        // As if wholly allocated: mkswap and others refuse files with holes.
        status.st_blocks = static_cast<blkcnt_t>((file->range.length + 511) / 512);
    } else {
        status.st_mode = S_IFDIR | 0500;
        status.st_nlink = 2;
    }
    return status;
}

void initialise(void*, fuse_conn_info* connection) {
    connection->max_write = max_write;
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    // Splicing is slower for us, whose data is never in one file at the same place. To ask for the attributes
    // again before it believes its pages, after every write, is of no use for files that only their one program
    // changes.
    constexpr unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                                  FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC;
    connection->want &= ~unwanted;
    // For cached files: opening with direct I/O goes around it.
    if ((connection->capable & FUSE_CAP_WRITEBACK_CACHE) != 0)
        connection->want |= FUSE_CAP_WRITEBACK_CACHE;
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    answered(request, [&](const ViewContent& content) {
        fuse_entry_param entry{};
        entry.attr_timeout = entry.entry_timeout = for_ever;
        const auto found = std::find_if(content.files.begin(), content.files.end(),
                                        [&](const ViewFile& file) { return file.name == name; });
        if (parent != FUSE_ROOT_ID || found == content.files.end()) {
            fuse_reply_err(request, parent == FUSE_ROOT_ID ? ENOENT : ENOTDIR);
            return;
        }
        entry.ino = first_file + static_cast<fuse_ino_t>(found - content.files.begin());
        entry.attr = attributes(content, entry.ino);
        fuse_reply_entry(request, &entry);
    });
}

void reply_attributes(fuse_req_t request, const ViewContent& content, fuse_ino_t inode) {
    const struct stat status = attributes(content, inode);
    fuse_reply_attr(request, &status, for_ever);
}

void get_attributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
    answered(request, [&](const ViewContent& content) { reply_attributes(request, content, inode); });
}

void set_attributes(fuse_req_t request, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info*) {
    answered(request, [&](const ViewContent& content) {
        const ViewFile* const file = file_of(content, inode);
        if ((which & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0 || !file)
            fuse_reply_err(request, EPERM);
        else if ((which & FUSE_SET_ATTR_SIZE) != 0 &&
                 (wanted->st_size < 0 || static_cast<std::uint64_t>(wanted->st_size) > file->range.length))
            fuse_reply_err(request, EFBIG);
        else // a smaller size and other times are taken note of
            reply_attributes(request, content, inode);
    });
}

void open_file(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
    on_file(request, inode, [&](const ViewContent& content, const ViewFile& file) {
        if ((info->flags & O_ACCMODE) != O_RDONLY && !content.device.writable()) {
            fuse_reply_err(request, EROFS);
            return;
        }
        // Cached: without FOPEN_KEEP_CACHE, so that the kernel forgets its pages of the last time.
        const OpenReply reply{0, file.cached ? 0 : fopen_direct_io | fopen_parallel_direct_writes, 0};
        fuse_reply_buf(request, reinterpret_cast<const char*>(&reply), sizeof reply);
    });
}

void read_file(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info*) {
    on_file(request, inode, [&](ViewContent& content, const ViewFile& file) {
        const std::uint64_t from = std::min(static_cast<std::uint64_t>(offset), file.range.length);
        const std::uint64_t length = std::min<std::uint64_t>(size, file.range.length - from);
        thread_local std::vector<std::byte> buffer;
        buffer.resize(std::max<std::size_t>(buffer.size(), length));
        const std::span<std::byte> bytes(buffer.data(), length);
        if (const int error_number = content.device.read(file.range.offset + from, bytes))
            fuse_reply_err(request, error_number);
        else
            fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), length);
    });
}

/// Like a block device that is full to its end.
bool within(const ViewFile& file, off_t offset, std::uint64_t length) {
    return offset >= 0 && static_cast<std::uint64_t>(offset) <= file.range.length &&
           length <= file.range.length - static_cast<std::uint64_t>(offset);
}

void write_file(fuse_req_t request, fuse_ino_t inode, const char* data, std::size_t size, off_t offset,
                fuse_file_info*) {
    on_file(request, inode, [&](ViewContent& content, const ViewFile& file) {
        if (!within(file, offset, size)) {
            // The program has been told that its write was good.
            if (file.cached)
                content.device.keep(
                    Error(ErrorCode::failure,
                          fmt::format(
                              "A program wrote behind the end of {} of the view, which has {} bytes: {} bytes "
                              "at {}. Its work is not used",
                              file.name, file.range.length, size, offset)));
            fuse_reply_err(request, ENOSPC);
            return;
        }
        const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
        if (const int error_number =
                content.device.write(file.range.offset + static_cast<std::uint64_t>(offset), bytes))
            fuse_reply_err(request, error_number);
        else
            fuse_reply_write(request, size);
    });
}

void sync_file(fuse_req_t request, fuse_ino_t inode, int, fuse_file_info*) {
    on_file(request, inode,
            [&](ViewContent& content, const ViewFile&) { fuse_reply_err(request, content.device.flush()); });
}

int allocate(ViewContent& content, const ViewFile& file, int mode, std::uint64_t offset, std::uint64_t length) {
    if (!content.device.writable())
        return EROFS;
    const int what = mode & ~FALLOC_FL_KEEP_SIZE;
    if (what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE)
        return EOPNOTSUPP;
    const bool inside = offset <= file.range.length && length <= file.range.length - offset;
    if (what != FALLOC_FL_PUNCH_HOLE && !inside)
        return ENOSPC;
    if (what == 0)
        return 0; // what is not there yet is made when it is written
    const std::uint64_t from = std::min(offset, file.range.length);
    const Range range{file.range.offset + from, std::min(length, file.range.length - from)};
    if (range.empty())
        return 0;
    return what == FALLOC_FL_PUNCH_HOLE ? content.device.punch_hole(range) : content.device.zero(range);
}

void allocate_file(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length,
                   fuse_file_info*) {
    on_file(request, inode, [&](ViewContent& content, const ViewFile& file) {
        fuse_reply_err(request, offset < 0 || length <= 0
                                    ? EINVAL
                                    : allocate(content, file, mode, static_cast<std::uint64_t>(offset),
                                               static_cast<std::uint64_t>(length)));
    });
}

void seek_file(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, fuse_file_info*) {
    on_file(request, inode, [&](ViewContent& content, const ViewFile& file) {
        if (whence != SEEK_DATA && whence != SEEK_HOLE) {
            fuse_reply_err(request, EINVAL);
            return;
        }
        if (offset < 0 || static_cast<std::uint64_t>(offset) >= file.range.length) {
            fuse_reply_err(request, ENXIO);
            return;
        }
        const std::uint64_t start = file.range.offset + static_cast<std::uint64_t>(offset);
        std::optional<std::uint64_t> found;
        const bool data = whence == SEEK_DATA;
        const int error_number = content.device.find({start, file.range.end() - start}, data, found);
        if (error_number != 0)
            fuse_reply_err(request, error_number);
        else if (!found && data)
            fuse_reply_err(request, ENXIO);
        else // the end of a file is a hole
            fuse_reply_lseek(request, static_cast<off_t>(found.value_or(file.range.end()) - file.range.offset));
    });
}

void read_folder(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info*) {
    answered(request, [&](const ViewContent& content) {
        if (inode != FUSE_ROOT_ID) {
            fuse_reply_err(request, ENOTDIR);
            return;
        }
        std::vector<char> buffer(std::min<std::size_t>(size, 64 << 10));
        std::size_t used = 0;
        // Entries 0 and 1 are "." and "..".
        for (auto entry = static_cast<std::size_t>(std::max<off_t>(offset, 0));
             entry < content.files.size() + 2; ++entry) {
            const fuse_ino_t number = entry < 2 ? FUSE_ROOT_ID : first_file + entry - 2;
            const std::string name = entry == 0 ? "." : entry == 1 ? ".." : content.files[entry - 2].name;
            const struct stat status = attributes(content, number);
            const std::size_t needed = fuse_add_direntry(request, buffer.data() + used, buffer.size() - used,
                                                         name.c_str(), &status, static_cast<off_t>(entry + 1));
            if (needed > buffer.size() - used)
                break;
            used += needed;
        }
        fuse_reply_buf(request, buffer.data(), used);
    });
}

/// Plenty of room: programs that look for it before they write overwrite only what is there.
void status_of_all(fuse_req_t request, fuse_ino_t) {
    answered(request, [&](const ViewContent& content) {
        struct statvfs status {};
        status.f_bsize = status.f_frsize = 4096;
        status.f_blocks = content.device.size() / 4096 + (std::uint64_t{1} << 40) / 4096;
        status.f_bfree = status.f_bavail = (std::uint64_t{1} << 40) / 4096;
        status.f_files = content.files.size() + 1;
        status.f_namemax = 255;
        fuse_reply_statfs(request, &status);
    });
}

void refuse_making(fuse_req_t request, fuse_ino_t, const char*, mode_t, fuse_file_info*) {
    fuse_reply_err(request, EPERM);
}

void refuse_removing(fuse_req_t request, fuse_ino_t, const char*) {
    fuse_reply_err(request, EPERM);
}

fuse_lowlevel_ops make_operations() {
    fuse_lowlevel_ops operations{};
    operations.init = initialise;
    operations.lookup = lookup;
    operations.getattr = get_attributes;
    operations.setattr = set_attributes;
    operations.open = open_file;
    operations.read = read_file;
    operations.write = write_file;
    operations.fsync = sync_file;
    operations.fallocate = allocate_file;
    operations.lseek = seek_file;
    operations.readdir = read_folder;
    operations.statfs = status_of_all;
    operations.create = refuse_making;
    operations.unlink = refuse_removing;
    return operations;
}

timespec now() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

} // namespace

ViewContent::ViewContent(BlockDevice& served, std::vector<ViewFile> shown, const ViewOptions& view_options)
    : device(served, view_options.discard_unit), files(std::move(shown)), options(view_options), made(now()) {}

const fuse_lowlevel_ops& view_operations() {
    static const fuse_lowlevel_ops operations = make_operations();
    return operations;
}

} // namespace disktool
