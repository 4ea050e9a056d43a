// SPDX-License-Identifier: LGPL-2.1-or-later
// Parts of a device as files of a folder, served by ourselves through FUSE, for programs that want a file.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/error.h>
#include <disktool/subprocess.h>

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

struct ViewFile {
    std::string name; ///< "disk", "p1"
    Range range;      ///< bytes of the device
    /// The kernel keeps pages that were read until the file is opened anew, and gathers what is written: all of
    /// it is on the device once the file is synced or closed, and an error on the way is found in
    /// first_error(). Good for one program with many small requests, on a device that counts only when that
    /// program is done. Without it every request comes to the device at once, many side by side: for QEMU, loop
    /// devices, and whatever else is written at the same time on another way.
    bool cached = false;
};

struct ViewOptions {
    uid_t owner = 0; ///< of the files, whose mode is 0600
    gid_t group = 0;
    /// May others than ourselves (the user of the sandbox) ask the server at all? Modes are checked all the
    /// same. For root only: others need a setting in /etc/fuse.conf.
    bool allow_other = false;
    /// See ServedDevice.
    std::uint64_t discard_unit = 0;
    unsigned threads = 4; ///< at most so many requests are worked on at a time
    /// An existing folder that the files are to appear in; empty: a private one is made, and goes with the
    /// view.
    std::string mount_point{};
    std::string shown_source = "disktool"; ///< what mount(8) and df(1) show it as
    std::string shown_type = "disktool";   ///< its file system is "fuse." with that
};

/// Mounted from the making until unmount(). The files have exactly the sizes of their ranges: shrinking one
/// does nothing (resize2fs cuts the file behind the file system), growing one fails. fsync() flushes the
/// device; punched and zeroed ranges read as zeros; SEEK_DATA and SEEK_HOLE follow the device's extents.
/// Threads: serves in threads of its own, which use the device as BlockDevice allows; the methods are for one
/// thread at a time.
class DISKTOOL_API FuseView {
  public:
    FuseView() = default;
    FuseView(const FuseView&) = delete;
    FuseView& operator=(const FuseView&) = delete;
    /// As unmount(), but never throws; where a file is still open, whoever has it gets errors from then on.
    virtual ~FuseView();

    /// Absolute.
    virtual std::string path(const std::string& name) const = 0;
    /// Waits up to `patience` for the last user to go. When it returns or throws nobody reaches the device any
    /// more. Throws failure where a file was still open then. Unmounted already: does nothing.
    virtual void unmount(std::chrono::milliseconds patience) = 0;
    /// Waits for someone else to unmount it (fusermount3 -u, umount). False: the time is over.
    virtual bool wait_for_end(std::chrono::milliseconds limit) = 0;
    /// What the device first failed with, since programs pass on an errno value at best.
    virtual std::optional<Error> first_error() const = 0;
};

/// `device` must outlive the view. Throws program_missing where the host has no FUSE, with the way out.
DISKTOOL_API std::unique_ptr<FuseView> mount_view(BlockDevice& device, std::vector<ViewFile> files,
                                                  const ViewOptions& options, ProcessDoor& processes);

} // namespace disktool
