// SPDX-License-Identifier: LGPL-2.1-or-later
// Answers to the kernel's requests on the file of a FuseDisk.
#pragma once

#include "device/direct_requests.h"
#include "device/fuse_disk.h"
#include "device/hot_regions.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <mutex>

namespace disktool {

/// Threads: any.
struct FuseDiskCounters {
    std::atomic<std::uint64_t> reads{0}, read_bytes{0}, writes{0}, written_bytes{0}, flushes{0}, discards{0},
        discarded_bytes{0}, errors{0};
    FuseDisk::Counters now() const;
};

/// What the requests of one session refer to: its user data.
class FuseDiskContent {
  public:
    FuseDiskContent(BlockDevice& served, const FuseDiskOptions& disk_options);

    BlockDevice& device;
    const FuseDiskOptions options;
    const timespec made;
    FuseDiskCounters counters;

    /// Runs it and answers with 0 or the errno value for what it throws: EIO and ENOSPC are all that a disk
    /// says.
    template <typename Action>
    int guarded(Action action) noexcept {
        try {
            action();
            return 0;
        } catch (const std::exception& error) {
            return keep(error);
        }
    }
    std::optional<Error> first_error() const;

    /// Reads of what lies in one run of a file: from the host's cache when they are there, else past it and
    /// beside this thread. False: not these; nothing was answered. `buffer` bears them.
    bool read_in_file(fuse_req_t request, Range range, std::byte* buffer);
    /// The same of writes, always past the cache.
    bool write_in_file(fuse_req_t request, std::uint64_t offset, std::span<const std::byte> data);
    /// Before the queues of answers go that requests were read from: waits for what is under way. No request
    /// may come any more.
    void end_direct_requests() { direct_requests_.reset(); }

  private:
    void answer(const DirectRequests::Request& request, std::span<std::byte> data, int error) noexcept;
    void answer_read(const DirectRequests::Request& request, std::span<std::byte> data, int error) noexcept;
    void answer_write(const DirectRequests::Request& request, std::span<std::byte> done, int error) noexcept;
    int keep(const std::exception& error) noexcept;
    mutable std::mutex mutex_;
    std::optional<Error> first_error_;
    HotRegions hot_regions_;
    std::unique_ptr<DirectRequests> direct_requests_; ///< null where the host has none
};

/// Bytes of the largest write and read.
constexpr std::size_t fuse_disk_piece = 1 << 20;
/// The kernel takes an answer only from where its request was read. Of a thread that reads requests its own, of
/// the one that answers for others that of the request.
extern thread_local int answer_queue;
/// Memory for what this thread reads: fuse_disk_piece bytes at a page. To be said before its first request.
void set_read_buffer(std::byte* memory);

/// For fuse_session_new, with a FuseDiskContent as user data.
const fuse_lowlevel_ops& fuse_disk_operations();

} // namespace disktool
