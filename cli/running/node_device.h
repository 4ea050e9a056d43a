// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device of the host as a disk.
#pragma once

#include <disktool/block_device.h>
#include <disktool/file.h>
#include <disktool/format.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace disktool::ploop::cli {

/// Owns the file. Through the kernel's cache, so it sees what others have written by the same node; with the
/// size that the device had when it was made. Threads: any.
class NodeDevice final : public BlockDevice {
  public:
    /// `access`: as the file was opened.
    explicit NodeDevice(std::unique_ptr<File> node, Access access = Access::read)
        : node_(std::move(node)), size_(node_->status().size), access_(access) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return node_->path(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        node_->read(offset, buffer);
    }
    bool writable() const override { return access_ == Access::write; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        check_range(offset, data.size());
        node_->write(offset, data);
    }
    void flush() override { node_->sync(); }

  private:
    const std::unique_ptr<File> node_;
    const std::uint64_t size_;
    const Access access_;
};

} // namespace disktool::ploop::cli
