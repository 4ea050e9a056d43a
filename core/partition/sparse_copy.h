// SPDX-License-Identifier: LGPL-2.1-or-later
// A file in memory for libraries that read a disk only through a descriptor.
#pragma once

#include <disktool/block_device.h>
#include <disktool/range.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool {

/// A sparse file (memfd) of a disk's size that holds copies of the ranges asked for, and zeros elsewhere.
/// Takes memory only for what is not zero. Units: bytes. Owns the descriptor, refers to the device.
class SparseCopy {
  public:
    /// `size` may differ from the device's: what lies beyond the device reads as zeros.
    SparseCopy(BlockDevice& device, std::uint64_t size);
    SparseCopy(const SparseCopy&) = delete;
    SparseCopy& operator=(const SparseCopy&) = delete;
    ~SparseCopy();

    /// The part of `range` that both device and file have.
    void copy(Range range);
    int descriptor() const { return descriptor_; }

  private:
    void write(std::uint64_t offset, std::span<const std::byte> data);

    BlockDevice& device_;
    std::uint64_t size_;
    int descriptor_;
};

} // namespace disktool
