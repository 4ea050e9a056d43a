// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk in memory: sparse, writable, and able to count its reads and to fail.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace disktool::test {

/// Kept in pages of 64 KiB; a page that was never written takes no memory, reads as zeros and is `unallocated`.
/// Threads: one at a time.
class MemoryDevice : public BlockDevice {
  public:
    static constexpr std::uint64_t page_size = 64 << 10;

    explicit MemoryDevice(std::uint64_t size, std::string name = "memory")
        : size_(size), name_(std::move(name)) {}

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override { return writable_; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override { zero(range); }
    void zero(Range range) override;
    void flush() override;

    void set_writable(bool writable) { writable_ = writable; }
    /// Reads and writes that touch this byte fail with EIO from now on.
    void fail_at(std::uint64_t offset) { bad_.insert(offset); }
    void heal() { bad_.clear(); }

    std::uint64_t reads() const { return reads_; }
    std::uint64_t bytes_read() const { return bytes_read_; }
    std::uint64_t writes() const { return writes_; }
    std::uint64_t flushes() const { return flushes_; }

  private:
    void check(const char* action, Range range) const;

    std::uint64_t size_;
    std::string name_;
    std::map<std::uint64_t, std::vector<std::byte>> pages_; ///< by number
    std::set<std::uint64_t> bad_;
    bool writable_ = true;
    std::uint64_t reads_ = 0;
    std::uint64_t bytes_read_ = 0;
    std::uint64_t writes_ = 0;
    std::uint64_t flushes_ = 0;
};

} // namespace disktool::test
