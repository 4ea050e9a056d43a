// SPDX-License-Identifier: LGPL-2.1-or-later
// QEMU's programs as helpers: qemu-img for whole operations, qemu-nbd with libnbd to write guest data.
#pragma once

#include <disktool/block_device.h>
#include <disktool/doors.h>
#include <disktool/progress.h>

#include <cstdint>
#include <memory>
#include <string>

namespace disktool {

/// qemu-img resize -f FORMAT PATH BYTES. Throws program_missing (no qemu-img; the package's name), locked,
/// no_space or failure with qemu-img's own words.
DISKTOOL_API void qemu_img_resize(Doors doors, const std::string& path, const std::string& format,
                                  std::uint64_t new_size, CancelToken* cancel);

/// The guest's disk behind a qemu-nbd of our own (socket activation: the listening socket is passed on, no
/// port, no file that another user could reach). Writable where asked. Lives as long as this object; the
/// destructor ends the server without waiting for unflushed data: call close() to end it in order and hear of
/// errors.
class DISKTOOL_API NbdDevice : public BlockDevice {
  public:
    struct Options {
        bool writable = false;
        bool discard = true;           ///< discards reach the image (--discard=unmap)
        std::string cache = "none";    ///< falls back to writeback where the host file system has no O_DIRECT
        CancelToken* cancel = nullptr; ///< looked at while it opens; later that is the step's affair
        /// With more than one it is concurrent(): each thread has one to itself while it asks.
        unsigned connections = 1;
    };
    /// Throws locked (with the holder), program_missing (with the package), interrupted, or failure with
    /// qemu-nbd's words. extents() cannot tell recorded zeros from what is stored nowhere: both are
    /// `unallocated`, as NBD's base:allocation has it.
    static std::unique_ptr<NbdDevice> open(Doors doors, const std::string& path, const std::string& format,
                                           const Options& options);
    /// Flushes, disconnects, waits for the server's end. Throws when it failed.
    virtual void close() = 0;
};

} // namespace disktool
