// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk made of a fuzzer's input: records of a sector's number (u16, little-endian) and its 512 bytes. What is
// in no record reads as zeros.
#pragma once

#include <disktool/block_device.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>
#include <utility>

namespace disktool {

class SectorList : public BlockDevice {
  public:
    static constexpr std::size_t sector = 512;

    SectorList(std::span<const std::byte> records, std::uint64_t size) : size_(size) {
        for (; records.size() >= 2 + sector; records = records.subspan(2 + sector)) {
            const unsigned number =
                std::to_integer<unsigned>(records[0]) | std::to_integer<unsigned>(records[1]) << 8;
            std::memcpy(sectors_[number].data(), records.data() + 2, sector);
        }
    }

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        std::ranges::fill(buffer, std::byte{0});
        for (auto at = sectors_.lower_bound(offset / sector);
             at != sectors_.end() && at->first * sector < offset + buffer.size(); ++at) {
            const std::uint64_t start = at->first * sector;
            const std::uint64_t from = std::max(start, offset);
            const std::uint64_t to = std::min(start + sector, offset + buffer.size());
            // Not memcpy, to which even an empty buffer must not be null.
            std::copy_n(at->second.data() + (from - start), to - from, buffer.data() + (from - offset));
        }
    }
    /// Only what lies in a sector that is there.
    void put(std::uint64_t offset, std::span<const std::byte> data) {
        const auto at = sectors_.find(offset / sector);
        if (at != sectors_.end())
            std::memcpy(at->second.data() + offset % sector, data.data(),
                        std::min<std::size_t>(data.size(), sector - offset % sector));
    }

  private:
    std::uint64_t size_;
    std::map<std::uint64_t, std::array<std::byte, sector>> sectors_;
};

} // namespace disktool
