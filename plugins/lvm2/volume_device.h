// SPDX-License-Identifier: LGPL-2.1-or-later
// The content of a plain volume as a device.
#pragma once

#include "volume_group.h"

#include <disktool/block_device.h>
#include <disktool/volumes.h>

#include <functional>
#include <string>
#include <vector>

namespace disktool::lvm2 {

/// Where the bytes of a plain volume lie, as in Volume::segments: extents for a linear one, chunks for stripes.
/// Nothing where stripes would make more than four million pieces (a TiB in stripes of 256 KiB).
std::vector<VolumeSegment> place(const LogicalVolume& volume, const VolumeGroup& group);

/// Reads and writes go to the physical volume's device. Refers to that device and to the segments, which must
/// outlive it and cover it without gaps. Concurrent where its parent is.
class VolumeDevice : public BlockDevice {
  public:
    VolumeDevice(BlockDevice& parent, const std::vector<VolumeSegment>& segments, std::string name,
                 bool writable);

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override { return writable_ && parent_.writable(); }
    bool concurrent() const override { return parent_.concurrent(); }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override;

  private:
    /// Calls for each piece of `range` that lies in one run on the parent, in order: its offset in the range,
    /// and its place on the parent.
    void each(Range range, const std::function<void(std::uint64_t, Range)>& piece) const;
    void demand_writable();

    BlockDevice& parent_;
    const std::vector<VolumeSegment>& segments_;
    std::string name_;
    bool writable_;
    std::uint64_t size_;
};

} // namespace disktool::lvm2
