// SPDX-License-Identifier: LGPL-2.1-or-later
// A FAT12, FAT16 or FAT32 file system on a device.
#pragma once

#include "fat_geometry.h"
#include "fat_table.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::fat {

/// The table is read when the free map is first asked for. See disktool/filesystem.h for the rest.
class FatFilesystem : public Filesystem {
  public:
    /// Throws damage.
    FatFilesystem(BlockDevice& device, FatGeometry fat);

    std::string type() const override { return "vfat"; }
    FilesystemState state() override { return state_; }
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    void plan_resize(Plan& plan, const FilesystemResize& request) override;

  private:
    const ExtentSet& free_clusters();
    /// The volume's label is an entry of the root directory; the boot sector has a copy that few keep up.
    std::string label();
    std::optional<std::string> label_in(std::uint64_t offset, std::uint64_t length, bool& ended);
    /// What FSInfo says, which is a hint only.
    std::optional<std::uint64_t> noted_free();

    BlockDevice& device_;
    FatGeometry fat_;
    FatTable table_;
    FilesystemState state_;
    std::optional<ExtentSet> free_;
};

} // namespace disktool::fat
