// SPDX-License-Identifier: LGPL-2.1-or-later
// A btrfs on one device.
#pragma once

#include "chunk_map.h"
#include "free_space.h"
#include "superblock.h"
#include "tree_reader.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <vector>

namespace disktool::btrfs {

/// Opening it reads chunks, device extents and block groups where the state allows to believe them. See
/// disktool/filesystem.h for the rest.
class BtrfsFilesystem : public Filesystem {
  public:
    /// `super` is sound (Plugin::open).
    BtrfsFilesystem(BlockDevice& device, Superblock super);

    std::string type() const override { return "btrfs"; }
    FilesystemState state() override { return state_; }
    /// Free is what free_extents() gives: bytes of the device, so that what is there twice (DUP) counts as used
    /// twice. Where the map is not trusted: what the superblock says, which counts each byte once.
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    Reason can_grow() const override;
    Reason can_shrink() const override;

    /// Is the free-space tree there and valid? If not, free_extents() reads the extent tree.
    bool uses_free_space_tree() const;
    /// The free extents by the extent tree in any case: the slower way, for comparison.
    ExtentSet free_extents_by_extent_tree();

  private:
    void demand_trust() const;
    ExtentSet mapped(const FreeSpace& free) const;
    std::uint64_t longest_extent(std::size_t chunk);

    BlockDevice& device_;
    const Superblock super_;
    Mirrors mirrors_;
    FilesystemState state_;
    ChunkMap chunks_;
    TreeReader reader_;
    std::vector<std::uint64_t> used_; ///< of each chunk
    bool balance_ = false;            ///< one is under way, or paused
};

} // namespace disktool::btrfs
