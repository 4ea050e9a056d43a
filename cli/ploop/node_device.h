// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device of the host, read as a disk.
#pragma once

#include <disktool/block_device.h>
#include <disktool/file.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace disktool::ploop::cli {

/// Owns the file. Threads: any.
class NodeDevice final : public BlockDevice {
  public:
    explicit NodeDevice(std::unique_ptr<File> node) : node_(std::move(node)), size_(node_->status().size) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return node_->path(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        node_->read(offset, buffer);
    }

  private:
    const std::unique_ptr<File> node_;
    const std::uint64_t size_;
};

} // namespace disktool::ploop::cli
