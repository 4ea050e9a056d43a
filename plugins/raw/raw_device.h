// SPDX-License-Identifier: LGPL-2.1-or-later
// A file's bytes as a disk.
#pragma once

#include <disktool/block_device.h>
#include <disktool/file.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace disktool::raw {

constexpr std::uint32_t sector_size = 512;

/// As large as the file was when this was made, rounded up to a sector as QEMU does; the rest of the last
/// sector reads as zeros. Holes of the file are unallocated. Does not own the file, which must outlive it.
/// Threads: any.
class RawDevice final : public BlockDevice {
  public:
    explicit RawDevice(File& file);

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return file_.path(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool concurrent() const override { return true; }

  private:
    File& file_;
    std::uint64_t file_size_;
    std::uint64_t size_;
};

} // namespace disktool::raw
