// SPDX-License-Identifier: LGPL-2.1-or-later
// A raw disk image of the host as a device, for tests of everything that reads disks.
#pragma once

#include <disktool/block_device.h>
#include <disktool/doors.h>
#include <disktool/format.h>

#include <memory>
#include <string>

namespace disktool::test {

/// Holes of the file are `unallocated`. The size is the one at opening.
class FileDevice : public BlockDevice {
  public:
    explicit FileDevice(const std::string& path, Access access = Access::read,
                        FileDoor& door = real_doors().files);

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return file_->path(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override { return access_ == Access::write; }
    bool concurrent() const override { return true; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override;

  private:
    std::unique_ptr<File> file_;
    Access access_;
    std::uint64_t size_;
};

} // namespace disktool::test
