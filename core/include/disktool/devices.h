// SPDX-License-Identifier: LGPL-2.1-or-later
// Devices made of devices.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

namespace disktool {

/// A part of another device as a device of its own: a partition. Refers to its parent, which must outlive it.
/// Discards and writes go through. Concurrent where its parent is.
class DISKTOOL_API Window : public BlockDevice {
  public:
    /// Throws ErrorCode::damaged when `part` does not lie within the parent.
    Window(BlockDevice& parent, Range part, std::string name);
    ~Window() override;

    std::uint64_t size() const override { return part_.length; }
    std::string name() const override { return name_; }
    Range part() const { return part_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override { return parent_.writable(); }
    bool concurrent() const override { return parent_.concurrent(); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override { parent_.flush(); }

  private:
    BlockDevice& parent_;
    Range part_;
    std::string name_;
};

/// A read cache for metadata in front of a device that is costly to ask in small pieces. Keeps at most
/// `capacity` bytes in aligned blocks, least recently used out first; reads of more than a quarter of the
/// capacity pass by it. Writes go through and drop what they touch. Not concurrent.
class DISKTOOL_API CachedDevice : public BlockDevice {
  public:
    explicit CachedDevice(BlockDevice& parent, std::uint32_t block_size = 64 << 10,
                          std::size_t capacity = 8 << 20);
    ~CachedDevice() override;

    std::uint64_t size() const override { return parent_.size(); }
    std::string name() const override { return parent_.name(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override { return parent_.extents(range); }
    bool writable() const override { return parent_.writable(); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override { parent_.flush(); }

  private:
    struct Block {
        std::uint64_t index;
        std::vector<std::byte> data;
    };
    const std::vector<std::byte>& block(std::uint64_t index);
    void drop(Range range);

    BlockDevice& parent_;
    std::uint32_t block_size_;
    std::size_t capacity_blocks_;
    std::list<Block> blocks_; ///< most recently used first
    std::unordered_map<std::uint64_t, std::list<Block>::iterator> index_;
};

} // namespace disktool
