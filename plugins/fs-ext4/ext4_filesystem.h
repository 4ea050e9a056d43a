// SPDX-License-Identifier: LGPL-2.1-or-later
// An ext2, ext3 or ext4 file system on a device.
#pragma once

#include "feature_set.h"
#include "library_handle.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <string>

namespace disktool::ext4 {

/// Opening it checks the state first; only of a clean one are the group descriptors looked at, since replaying
/// a journal may change them. See disktool/filesystem.h for the rest.
class Ext4Filesystem : public Filesystem {
  public:
    explicit Ext4Filesystem(BlockDevice& device);

    std::string type() const override { return features_.type(); }
    FilesystemState state() override { return state_; }
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    Reason can_grow() const override;
    Reason can_shrink() const override;
    bool resizes_natively() const override { return true; }
    void plan_resize(Plan& plan, const FilesystemResize& request) override;

  private:
    void demand_trust() const;

    BlockDevice& device_;
    LibraryHandle handle_;
    Features features_;
    FilesystemState state_;
    ExtentSet metadata_; ///< bytes; empty where the free map is not trusted
};

} // namespace disktool::ext4
