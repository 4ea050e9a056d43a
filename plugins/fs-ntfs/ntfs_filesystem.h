// SPDX-License-Identifier: GPL-2.0-or-later
// An NTFS file system on a device.
#pragma once

#include "geometry.h"
#include "state.h"
#include "volume.h"

#include <disktool/block_device.h>
#include <disktool/devices.h>
#include <disktool/extents.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::ntfs {

/// Opening it finds the MFT and the state; $Bitmap is read when first needed, and then kept.
class NtfsFilesystem : public Filesystem {
  public:
    NtfsFilesystem(BlockDevice& device, const BootSector& boot);

    std::string type() const override { return "ntfs"; }
    FilesystemState state() override { return state_; }
    /// Of a file system that is not to be trusted, the free space is 0 where $Bitmap cannot even be read.
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
    std::uint64_t size() const;
    const ExtentSet& free();

    BlockDevice& device_;
    CachedDevice cache_; ///< MFT records are read one by one
    Volume volume_;
    VolumeInformation information_;
    FilesystemState state_;
    ResizeObstacle obstacle_;
    std::optional<ExtentSet> free_; ///< as $Bitmap says; checked where it is to be trusted
};

} // namespace disktool::ntfs
