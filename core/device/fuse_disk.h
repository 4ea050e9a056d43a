// SPDX-License-Identifier: LGPL-2.1-or-later
// A BlockDevice as one file that the kernel asks us for: what a loop device is put on.
//
// The mount is attached nowhere (fsopen, fsmount): no name space sees it, nobody can get in its way, and when
// this process dies the kernel takes it away and answers what is asked of the file with errors.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/error.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace disktool {

struct FuseDiskOptions {
    unsigned threads = 4;
    /// Discards of whole, aligned units of so many bytes read as zeros afterwards; 0: they are written as
    /// zeros.
    std::uint64_t discard_unit = 0;
    std::string shown_name = "disk"; ///< of the file
};

/// Threads: serves in threads of its own; the device must be concurrent(), and bear flush() beside everything
/// else. Requests are counted while they are worked on, so that the device can be changed between them: see
/// pause().
class DISKTOOL_API FuseDisk {
  public:
    /// `device` must outlive it. Throws program_missing where the host has no FUSE, with the way out.
    static std::unique_ptr<FuseDisk> serve(BlockDevice& device, const FuseDiskOptions& options);
    FuseDisk() = default;
    FuseDisk(const FuseDisk&) = delete;
    FuseDisk& operator=(const FuseDisk&) = delete;
    /// Whoever still has the file open gets errors from then on.
    virtual ~FuseDisk();

    /// Opens the file, for a loop device: O_DIRECT.
    virtual int open_file(bool writable) = 0;
    /// The device has another size now: the kernel is told.
    virtual void follow_size() = 0;
    struct Counters {
        std::uint64_t reads = 0, read_bytes = 0, writes = 0, written_bytes = 0, flushes = 0, discards = 0,
                      discarded_bytes = 0, errors = 0;
    };
    virtual Counters counters() const = 0;
    /// What the device first failed with.
    virtual std::optional<Error> first_error() const = 0;
};

} // namespace disktool
