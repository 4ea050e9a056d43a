// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device of the kernel as a disk: for what is read and written of a running device by its node.
#pragma once

#include <disktool/block_device.h>
#include <disktool/doors.h>
#include <disktool/format.h>

#include <memory>
#include <string>

namespace disktool::ploop::cli {

/// Through the kernel's cache, so that it sees what others wrote by the same node. Its size is the one now.
/// While it lives for writing it holds the lock (flock) by which udev leaves the device alone.
class NodeDevice final : public BlockDevice {
  public:
    /// Throws SystemError; Error(locked) where another program has that lock.
    NodeDevice(FileDoor& files, const std::string& node, Access access);

    std::uint64_t size() const override { return file_->status().size; }
    std::string name() const override { return file_->path(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    bool writable() const override { return writable_; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void flush() override { file_->sync(); }

  private:
    std::unique_ptr<File> file_;
    bool writable_;
};

} // namespace disktool::ploop::cli
