// SPDX-License-Identifier: LGPL-2.1-or-later
// An XFS file system on a device.
#pragma once

#include "groups.h"
#include "superblock.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <string>
#include <vector>

namespace disktool::xfs {

/// Opening it checks the state first; only of a clean one are the allocation groups looked at, since replaying
/// a log changes them. See disktool/filesystem.h for the rest.
class XfsFilesystem : public Filesystem {
  public:
    /// The superblock must have no defect().
    XfsFilesystem(BlockDevice& device, const Superblock& super);

    std::string type() const override { return "xfs"; }
    FilesystemState state() override { return state_; }
    /// Free is what the groups count: free extents, blocks in AGFLs and blocks of the free-space trees, the
    /// number that xfs_db shows as fdblocks and that `df` starts from. Of one that is not clean it is the
    /// superblock's, as last written.
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    Reason can_grow() const override;
    Reason can_shrink() const override { return Reason::filesystem_cannot_shrink; }

  private:
    void demand_trust() const;
    std::uint64_t free_blocks() const;

    BlockDevice& device_;
    Superblock super_;
    FilesystemState state_;
    std::vector<Group> groups_; ///< empty where the free map is not trusted
};

} // namespace disktool::xfs
