// SPDX-License-Identifier: LGPL-2.1-or-later
// What a guest reads from a disk: taken by QEMU, compared with our reader or with QEMU.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::test {

class DiskContent {
  public:
    /// As qemu-img reads the image, with its chain; or one of its internal snapshots.
    static DiskContent by_qemu(const std::string& image, const std::string& snapshot = "");

    std::uint64_t size() const { return bytes_.size(); }
    bool operator==(const DiskContent& other) const { return bytes_ == other.bytes_; }
    /// None: equal, in size too. What the device knows to be zeros is not read.
    std::optional<std::string> difference(BlockDevice& device) const;

  private:
    std::vector<char> bytes_;
    std::vector<std::uint64_t> used_; ///< offsets of the 4 KiB blocks that hold something
};

} // namespace disktool::test
