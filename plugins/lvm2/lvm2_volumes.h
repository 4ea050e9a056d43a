// SPDX-License-Identifier: LGPL-2.1-or-later
// A physical volume with the volume group on it.
#pragma once

#include "label.h"
#include "metadata_area.h"
#include "volume_group.h"

#include <disktool/block_device.h>
#include <disktool/volumes.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool::lvm2 {

/// Everything is read and checked when it is made. See disktool/volumes.h for the rest.
class Lvm2Volumes : public Volumes {
  public:
    explicit Lvm2Volumes(BlockDevice& device);

    std::string type() const override { return "LVM2_member"; }
    FilesystemState state() override;
    FilesystemUsage usage() override;
    /// Whole extents only: what lies behind the last one is nobody's, but LVM did not say that it is free.
    ExtentSet free_extents() override;
    const std::vector<Volume>& volumes() override { return volumes_; }
    MinimumSize minimum_size() override;
    /// LVM's default of 4 MiB where no group says otherwise.
    std::uint64_t extent_size() const override;
    std::uint64_t first_extent() const override;
    int last_volume() override { return last_volume_; }
    Details details() override;

  private:
    void choose_metadata();
    void check_places() const;
    void make_volumes();
    /// Of the second metadata area, which lies at the end of the device; empty where there is none.
    Range end_metadata() const;
    std::uint64_t end() const; ///< bytes of the device that belong to the physical volume
    std::string why_fixed() const;

    BlockDevice& device_;
    Label label_;
    std::optional<VolumeGroup> group_; ///< none: the physical volume belongs to no group
    std::vector<std::string> defects_; ///< of metadata areas that were not needed
    std::vector<Volume> volumes_;
    std::vector<std::unique_ptr<BlockDevice>> devices_;
    int last_volume_ = -1;
};

} // namespace disktool::lvm2
