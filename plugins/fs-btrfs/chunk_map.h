// SPDX-License-Identifier: LGPL-2.1-or-later
// Chunks: where on the device the logical addresses lie that everything else in btrfs is given in.
#pragma once

#include "on_disk.h"
#include "superblock.h"

#include <disktool/block_device.h>
#include <disktool/range.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace disktool::btrfs {

/// All copies of a chunk hold the same bytes: layouts that spread them (RAID0, 10, 5, 6) are refused.
struct Chunk {
    std::uint64_t logical = 0;
    std::uint64_t length = 0;
    std::uint64_t type = 0; ///< bits of namespace profile
    std::uint32_t copies = 0;
    std::array<std::uint64_t, 4> physical{}; ///< the first `copies` count

    std::uint64_t end() const { return logical + length; }
    Range copy(std::uint32_t number) const { return {physical[number], length}; }
    friend bool operator==(const Chunk&, const Chunk&) = default;
};

/// "data, single", "metadata, DUP".
std::string type_text(std::uint64_t type);

/// A chunk item at `logical`, checked in itself. Throws damage, or unsupported for another layout or device.
Chunk parse_chunk(std::uint64_t logical, std::span<const std::byte> item, const Superblock& super,
                  const BlockDevice& device);

class ChunkMap {
  public:
    ChunkMap() = default;
    /// Throws damage where two of them claim the same addresses, logical or of the device.
    ChunkMap(std::vector<Chunk> chunks, const BlockDevice& device);

    const std::vector<Chunk>& chunks() const { return chunks_; } ///< by logical address
    /// The chunk in which [logical, logical + length) lies; null where none holds all of it.
    const Chunk* find(std::uint64_t logical, std::uint64_t length) const;

    /// One copy of one chunk, as the device shows it.
    struct Stripe {
        Range range;         ///< of the device
        std::size_t chunk{}; ///< its number in chunks()
    };
    const std::vector<Stripe>& stripes() const { return stripes_; } ///< by place on the device

  private:
    std::vector<Chunk> chunks_;
    std::vector<Stripe> stripes_;
};

/// The chunks of the superblock's array: enough to find the chunk tree.
ChunkMap read_system_chunks(const Superblock& super, const BlockDevice& device);

} // namespace disktool::btrfs
