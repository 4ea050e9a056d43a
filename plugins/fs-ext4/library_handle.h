// SPDX-License-Identifier: LGPL-2.1-or-later
// libext2fs on a BlockDevice.
#pragma once

#include <disktool/block_device.h>

#include <exception>
#include <memory>
#include <string>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// An ext2_filsys that reads a device through an I/O manager of ours, which refuses to write. Opened with
/// superblock and group descriptors in memory; everything else is read on demand.
///
/// Ownership: refers to the device, which must outlive it. Errors: what the device throws passes through;
/// libext2fs's own refusals are Error(damaged). An exception never crosses a C frame: the callbacks keep it and
/// hand libext2fs an error code. Threads: one at a time for one handle; handles share nothing.
class LibraryHandle {
  public:
    explicit LibraryHandle(BlockDevice& device);
    LibraryHandle(const LibraryHandle&) = delete;
    LibraryHandle& operator=(const LibraryHandle&) = delete;
    ~LibraryHandle();

    ext2_filsys get() const { return filesystem_; }

  private:
    static io_manager manager();
    static errcode_t open_channel(const char* name, int flags, io_channel* channel);
    static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data);
    void read(std::uint64_t block, int count, void* data);

    BlockDevice& device_;
    std::string name_; ///< by which open_channel finds this object again
    struct_io_channel channel_{};
    std::exception_ptr failure_; ///< of the device, inside a callback
    ext2_filsys filesystem_ = nullptr;
};

} // namespace disktool::ext4
