// SPDX-License-Identifier: LGPL-2.1-or-later
// How small `btrfs filesystem resize` would surely make it.
#pragma once

#include "chunk_map.h"
#include "superblock.h"

#include <disktool/filesystem.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace disktool::btrfs {

/// The length in bytes of the longest data extent in a chunk, by its number. Asked only where it matters.
using LongestExtent = std::function<std::uint64_t(std::size_t chunk)>;

/// A size such that the kernel's shrinking to it, and to any size above it, finds room for every chunk that it
/// has to move. Not the very least: docs/fs-btrfs.md says how it is reckoned. O(chunks log chunks).
MinimumSize compute_minimum_size(const Superblock& super, const ChunkMap& chunks,
                                 std::span<const std::uint64_t> used, const LongestExtent& longest_extent);

} // namespace disktool::btrfs
