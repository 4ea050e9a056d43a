// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device of the kernel, read through its page cache: what programs see of it.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <string>

namespace disktool::server {

/// Refers to the descriptor. Threads: any.
class NodeDevice final : public BlockDevice {
  public:
    NodeDevice(int descriptor, std::uint64_t size, std::string name)
        : descriptor_(descriptor), size_(size), name_(std::move(name)) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    bool concurrent() const override { return true; }

  private:
    int descriptor_;
    std::uint64_t size_;
    std::string name_;
};

} // namespace disktool::server
