// SPDX-License-Identifier: LGPL-2.1-or-later
// One delta over whatever lies below it, as a disk to read.
#pragma once

#include "delta.h"

#include <disktool/block_device.h>

#include <string>

namespace disktool::ploop {

/// Owns neither. `below`: null for none; what lies behind its end reads as zeros. Threads: any number, as far
/// as what lies below can bear them.
class LayeredDevice final : public BlockDevice {
  public:
    LayeredDevice(const Delta& delta, BlockDevice* below) : delta_(delta), below_(below) {}

    std::uint64_t size() const override { return delta_.disk_size(); }
    std::string name() const override { return delta_.path(); }
    bool concurrent() const override { return below_ == nullptr || below_->concurrent(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;

  private:
    /// From `offset`, at most to `end`: all of it in this delta, or none of it.
    Range run_at(std::uint64_t offset, std::uint64_t end) const;

    const Delta& delta_;
    BlockDevice* below_;
};

} // namespace disktool::ploop
