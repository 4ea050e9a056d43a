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

    std::uint64_t size() const { return size_; }
    bool operator==(const DiskContent&) const = default;
    /// None: equal, in size too. What the device knows to be zeros is not read.
    std::optional<std::string> difference(BlockDevice& device) const;

  private:
    /// The first byte of a range that is not as here; none: all are. `read` is what it holds, or none for
    /// zeros.
    std::optional<std::uint64_t> first_other(Range range, const std::byte* read) const;

    std::uint64_t size_ = 0;
    std::vector<std::uint64_t> used_; ///< offsets of the 4 KiB blocks that hold something, all else is zeros
    std::vector<std::byte> bytes_;    ///< of these blocks, one behind the other
};

} // namespace disktool::test
