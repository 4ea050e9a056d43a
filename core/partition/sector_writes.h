// SPDX-License-Identifier: LGPL-2.1-or-later
// The sectors that a change of a partition table writes.
#pragma once

#include <disktool/block_device.h>
#include <disktool/format.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace disktool {

/// Sectors to be written, later ones in place of earlier ones.
class SectorWrites {
  public:
    explicit SectorWrites(std::uint32_t sector_size) : sector_size_(sector_size) {}

    /// Whole sectors.
    void put(std::uint64_t offset, std::span<const std::byte> data) {
        for (std::size_t at = 0; at < data.size(); at += sector_size_) {
            const auto sector = data.subspan(at, sector_size_);
            sectors_[offset + at].assign(sector.begin(), sector.end());
        }
    }
    void put_zeros(Range range) { put(range.offset, std::vector<std::byte>(range.length)); }

    /// Without those that the disk holds already. What lies beyond its present end is always written: nobody
    /// knows what a format shows there once the disk has grown.
    std::vector<Patch> changed(BlockDevice& disk) const {
        std::vector<Patch> patches;
        std::vector<std::byte> old(sector_size_);
        for (const auto& [offset, data] : sectors_) {
            if (offset + sector_size_ <= disk.size()) {
                disk.read(offset, old);
                if (old == data) {
                    continue;
                }
            }
            if (patches.empty() || patches.back().offset + patches.back().data.size() != offset) {
                patches.push_back({offset, {}});
            }
            patches.back().data.insert(patches.back().data.end(), data.begin(), data.end());
        }
        return patches;
    }

  private:
    std::uint32_t sector_size_;
    std::map<std::uint64_t, std::vector<std::byte>> sectors_; ///< by offset
};

} // namespace disktool
