// SPDX-License-Identifier: LGPL-2.1-or-later
// Inode 1 is the folder, inode 2 the file. Only its size may change.
#include "device/fuse_disk_requests.h"

#include <disktool/log.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace disktool {

namespace {

constexpr double for_ever = 86400; // seconds that the kernel may remember an answer
constexpr fuse_ino_t the_file = 2;
constexpr std::size_t page = 4096;
// Of the kernel's interface (include/uapi/linux/fuse.h); libfuse has no names for them before 3.15.
constexpr std::uint32_t fopen_direct_io = 1 << 0;
constexpr std::uint32_t fopen_parallel_direct_writes = 1 << 6;
struct OpenReply { // struct fuse_open_out
    std::uint64_t handle;
    std::uint32_t flags;
    std::uint32_t padding;
};

FuseDiskContent& content_of(fuse_req_t request) {
    return *static_cast<FuseDiskContent*>(fuse_req_userdata(request));
}

struct stat attributes(const FuseDiskContent& content, fuse_ino_t inode) {
    struct stat status {};
    status.st_ino = inode;
    status.st_uid = geteuid();
    status.st_gid = getegid();
    status.st_atim = status.st_mtim = status.st_ctim = content.made;
    status.st_blksize = page;
    if (inode == the_file) {
        status.st_mode = S_IFREG | (content.device.writable() ? 0600 : 0400);
        status.st_nlink = 1;
        status.st_size = static_cast<off_t>(content.device.size());
        status.st_blocks = static_cast<blkcnt_t>((content.device.size() + 511) / 512);
    } else {
        status.st_mode = S_IFDIR | 0500;
        status.st_nlink = 2;
    }
    return status;
}

void initialise(void*, fuse_conn_info* connection) {
    connection->max_write = fuse_disk_piece;
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    // Splicing costs more than it saves: a lookup in the BAT comes before the data can go anywhere. Writes must
    // come when they are made: what the kernel gathered would be neither ordered nor flushed as the guest
    // asked.
    constexpr unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                                  FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ATOMIC_O_TRUNC;
    connection->want &= ~unwanted;
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    const FuseDiskContent& content = content_of(request);
    if (parent != FUSE_ROOT_ID || content.options.shown_name != name) {
        fuse_reply_err(request, parent == FUSE_ROOT_ID ? ENOENT : ENOTDIR);
        return;
    }
    fuse_entry_param entry{};
    entry.ino = the_file;
    entry.attr_timeout = entry.entry_timeout = for_ever;
    entry.attr = attributes(content, the_file);
    fuse_reply_entry(request, &entry);
}

void reply_attributes(fuse_req_t request, fuse_ino_t inode) {
    const struct stat status = attributes(content_of(request), inode);
    fuse_reply_attr(request, &status, for_ever);
}

void get_attributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
    reply_attributes(request, inode);
}

/// The size is the device's own affair: whoever sets it learns what it is (FuseDisk::follow_size).
void set_attributes(fuse_req_t request, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info*) {
    if (inode != the_file || (which & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
        fuse_reply_err(request, EPERM);
    } else if ((which & FUSE_SET_ATTR_SIZE) != 0 &&
               wanted->st_size != static_cast<off_t>(content_of(request).device.size())) {
        fuse_reply_err(request, EFBIG);
    } else {
        reply_attributes(request, inode);
    }
}

void open_file(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
    if (inode != the_file) {
        fuse_reply_err(request, EISDIR);
    } else if ((info->flags & O_ACCMODE) != O_RDONLY && !content_of(request).device.writable()) {
        fuse_reply_err(request, EROFS);
    } else {
        const OpenReply reply{0, fopen_direct_io | fopen_parallel_direct_writes, 0};
        fuse_reply_buf(request, reinterpret_cast<const char*>(&reply), sizeof reply);
    }
}

thread_local std::byte* read_buffer = nullptr;

void read_file(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
    FuseDiskContent& content = content_of(request);
    const std::uint64_t disk_size = content.device.size();
    const std::uint64_t from = std::min(static_cast<std::uint64_t>(offset), disk_size);
    const std::uint64_t length = std::min<std::uint64_t>({size, disk_size - from, fuse_disk_piece});
    ++content.counters.reads;
    content.counters.read_bytes += length;
    if (content.read_in_file(request, {from, length}, read_buffer)) {
        return;
    }
    if (const int error = content.guarded([&] { content.device.read(from, {read_buffer, length}); })) {
        fuse_reply_err(request, error);
    } else {
        fuse_reply_buf(request, reinterpret_cast<const char*>(read_buffer), length);
    }
}

bool within(const FuseDiskContent& content, off_t offset, std::uint64_t length) {
    const std::uint64_t size = content.device.size();
    return offset >= 0 && static_cast<std::uint64_t>(offset) <= size &&
           length <= size - static_cast<std::uint64_t>(offset);
}

void write_file(fuse_req_t request, fuse_ino_t, const char* data, std::size_t size, off_t offset,
                fuse_file_info*) {
    FuseDiskContent& content = content_of(request);
    if (!within(content, offset, size)) {
        fuse_reply_err(request, ENOSPC);
        return;
    }
    ++content.counters.writes;
    content.counters.written_bytes += size;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    if (content.write_in_file(request, static_cast<std::uint64_t>(offset), bytes)) {
        return;
    }
    if (const int error =
            content.guarded([&] { content.device.write(static_cast<std::uint64_t>(offset), bytes); })) {
        fuse_reply_err(request, error);
    } else {
        fuse_reply_write(request, size);
    }
}

void sync_file(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
    FuseDiskContent& content = content_of(request);
    ++content.counters.flushes;
    fuse_reply_err(request, content.device.writable() ? content.guarded([&] { content.device.flush(); }) : 0);
}

/// Reads as zeros afterwards.
void punch(FuseDiskContent& content, Range range) {
    const std::uint64_t unit = content.options.discard_unit;
    const std::uint64_t size = content.device.size();
    const std::uint64_t first = unit == 0 ? range.end() : round_up(range.offset, unit);
    // The device's last unit is a whole one for it even where the device ends within.
    const std::uint64_t last = unit == 0             ? range.end()
                               : range.end() == size ? size
                                                     : round_down(range.end(), unit);
    if (first >= last) {
        content.device.zero(range);
        return;
    }
    if (range.offset < first) {
        content.device.zero({range.offset, first - range.offset});
    }
    content.device.discard({first, last - first});
    if (last < range.end()) {
        content.device.zero({last, range.end() - last});
    }
}

int allocate(FuseDiskContent& content, int mode, off_t offset, off_t length) {
    if (!content.device.writable()) {
        return EROFS;
    }
    const int what = mode & ~FALLOC_FL_KEEP_SIZE;
    if (what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE) {
        return EOPNOTSUPP;
    }
    if (length <= 0 || !within(content, offset, static_cast<std::uint64_t>(length))) {
        return EINVAL;
    }
    const Range range{static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length)};
    ++content.counters.discards;
    content.counters.discarded_bytes += range.length;
    return content.guarded([&] {
        if (what == FALLOC_FL_PUNCH_HOLE) {
            punch(content, range);
        } else {
            content.device.zero(range);
        }
    });
}

void allocate_file(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info*) {
    fuse_reply_err(request, allocate(content_of(request), mode, offset, length));
}

/// A loop device takes the block size for the unit of discards: smaller ones would not free anything.
void tell_filesystem(fuse_req_t request, fuse_ino_t) {
    const FuseDiskContent& content = content_of(request);
    const std::uint64_t unit = content.options.discard_unit;
    struct statvfs status {};
    status.f_bsize = unit > page && (unit & (unit - 1)) == 0 ? unit : page;
    status.f_frsize = status.f_bsize;
    status.f_blocks = content.device.size() / status.f_frsize;
    status.f_namemax = 255;
    fuse_reply_statfs(request, &status);
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
    operations.statfs = tell_filesystem;
    return operations;
}

timespec now() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

} // namespace

FuseDisk::Counters FuseDiskCounters::now() const {
    return {reads, read_bytes, writes, written_bytes, flushes, discards, discarded_bytes, errors};
}

FuseDiskContent::FuseDiskContent(BlockDevice& served, const FuseDiskOptions& disk_options)
    : device(served), options(disk_options), made(disktool::now()),
      direct_requests_(DirectRequests::start([this](const auto&... done) { answer(done...); })) {}

bool FuseDiskContent::read_in_file(fuse_req_t request, Range range, std::byte* buffer) {
    if (!direct_requests_ || range.empty() || range.length > DirectRequests::largest) {
        return false;
    }
    std::optional<BlockDevice::Place> place;
    if (const int error = guarded([&] { place = device.hold(range); })) {
        fuse_reply_err(request, error);
        return true;
    }
    if (!place) {
        return false;
    }
    // Only where the cache is likely to have it: asking it (RWF_NOWAIT) makes the kernel read what it has not.
    using Heat = HotRegions::Heat;
    const Heat heat = place->cached < 0 ? Heat::cold : hot_regions_.read(place->cached, place->offset);
    if (heat == Heat::hot) {
        const iovec memory{buffer, range.length};
        const ssize_t got = preadv2(place->cached, &memory, 1, static_cast<off_t>(place->offset), RWF_NOWAIT);
        if (got == static_cast<ssize_t>(range.length)) {
            device.release();
            fuse_reply_buf(request, reinterpret_cast<const char*>(buffer), range.length);
            return true;
        }
        if (hot_regions_.missed(place->cached, place->offset)) {
            fetch_region(place->cached, place->offset);
        }
    } else if (heat == Heat::fetch) {
        fetch_region(place->cached, place->offset);
    }
    if (heat == Heat::cold && direct_requests_->begin({*place, range.length, request, answer_queue})) {
        return true;
    }
    device.release();
    return false; // read() goes by way of the cache
}

bool FuseDiskContent::write_in_file(fuse_req_t request, std::uint64_t offset, std::span<const std::byte> data) {
    if (!direct_requests_ || data.empty() || data.size() > DirectRequests::largest) {
        return false;
    }
    std::optional<BlockDevice::Place> place;
    if (const int error = guarded([&] { place = device.hold_to_write({offset, data.size()}); })) {
        fuse_reply_err(request, error);
        return true;
    }
    if (place && direct_requests_->begin({*place, data.size(), request, answer_queue, data.data()})) {
        return true;
    }
    if (place) {
        device.written(*place, 0);
    }
    return false;
}

void FuseDiskContent::answer(const DirectRequests::Request& request, std::span<std::byte> data,
                             int error) noexcept {
    answer_queue = request.queue;
    if (request.written != nullptr) {
        answer_write(request, data, error);
    } else {
        answer_read(request, data, error);
    }
}

void FuseDiskContent::answer_read(const DirectRequests::Request& request, std::span<std::byte> data,
                                  int error) noexcept {
    auto* const asked = static_cast<fuse_req_t>(request.token);
    const int said = guarded([&] {
        if (error != 0) {
            throw SystemError(fmt::format("Cannot read {} bytes at offset {} of the file below", request.length,
                                          request.place.offset),
                              device.name(), error);
        }
        if (data.size() < request.length && !request.place.zeros_behind) {
            throw Error(ErrorCode::damaged,
                        fmt::format("{}: a file below it ends before offset {}, where data was", device.name(),
                                    request.place.offset + request.length));
        }
    });
    device.release();
    if (said != 0) {
        fuse_reply_err(asked, said);
        return;
    }
    std::byte* const start = data.data();
    std::fill_n(start + data.size(), request.length - data.size(), std::byte{0});
    fuse_reply_buf(asked, reinterpret_cast<const char*>(start), request.length);
}

void FuseDiskContent::answer_write(const DirectRequests::Request& request, std::span<std::byte> done,
                                   int error) noexcept {
    auto* const asked = static_cast<fuse_req_t>(request.token);
    const BlockDevice::Place& place = request.place;
    if (error == 0 && done.size() < request.length) {
        // The host's disk is full, for instance: to write the rest tells.
        const std::uint64_t rest = request.length - done.size();
        const ssize_t put = pwrite(place.cached >= 0 ? place.cached : place.direct, done.data() + done.size(),
                                   rest, static_cast<off_t>(place.offset + done.size()));
        error = put == static_cast<ssize_t>(rest) ? 0 : put < 0 ? errno : EIO;
    }
    device.written(place, request.length);
    const int said = guarded([&] {
        if (error != 0) {
            throw SystemError(fmt::format("Cannot write {} bytes at offset {} of the file below",
                                          request.length, place.offset),
                              device.name(), error);
        }
    });
    if (said != 0) {
        fuse_reply_err(asked, said);
    } else {
        fuse_reply_write(asked, request.length);
    }
}

int FuseDiskContent::keep(const std::exception& error) noexcept {
    ++counters.errors;
    const auto* own = dynamic_cast<const Error*>(&error);
    try {
        const std::scoped_lock lock(mutex_);
        if (!first_error_) {
            first_error_ = own != nullptr ? *own : Error(ErrorCode::failure, error.what());
            log(LogLevel::warning, fmt::format("{}: a request failed: {}", device.name(), error.what()));
        }
    } catch (const std::exception&) { // no memory: the answer is what matters
    }
    return own != nullptr && own->code() == ErrorCode::no_space ? ENOSPC : EIO;
}

std::optional<Error> FuseDiskContent::first_error() const {
    const std::scoped_lock lock(mutex_);
    return first_error_;
}

void set_read_buffer(std::byte* memory) {
    read_buffer = memory;
}

const fuse_lowlevel_ops& fuse_disk_operations() {
    static const fuse_lowlevel_ops operations = make_operations();
    return operations;
}

} // namespace disktool
