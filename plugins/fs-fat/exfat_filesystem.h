// SPDX-License-Identifier: LGPL-2.1-or-later
// An exFAT file system on a device.
//
// Format: Microsoft, "exFAT file system specification", sections 4.1 (FAT), 6.2 and 7 (directory entries).
#pragma once

#include "exfat_geometry.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::fat {

/// Opening it reads the root directory; the bitmap is read when the free map is first asked for. See
/// disktool/filesystem.h for the rest.
class ExfatFilesystem : public Filesystem {
  public:
    /// Throws damage.
    ExfatFilesystem(BlockDevice& device, ExfatGeometry exfat);

    std::string type() const override { return "exfat"; }
    FilesystemState state() override { return state_; }
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    void plan_resize(Plan& plan, const FilesystemResize& request) override;

  private:
    /// The chain of clusters that starts there, of at most `limit` clusters. Throws damage where it does not
    /// end.
    std::vector<std::uint32_t> chain(std::uint32_t first, std::uint64_t limit, const char* what);
    void read_root();
    void read_entry(std::span<const std::byte> entry);
    void check_bitmap_entry();
    const ExtentSet& free_clusters();
    /// Of the bitmap's bytes from the one of cluster 2 + `first` on.
    void add_free(std::span<const std::byte> bits, std::uint64_t first, ExtentSet& free) const;
    /// Throws damage where the bitmap calls itself or the root directory free.
    void check_metadata(const std::vector<std::uint32_t>& bitmap, const ExtentSet& free) const;
    /// Clusters that the FAT calls bad, in bytes.
    ExtentSet bad_clusters();

    BlockDevice& device_;
    ExfatGeometry exfat_;
    FilesystemState state_;
    std::string label_;
    std::uint32_t bitmap_cluster_ = 0;
    std::uint64_t bitmap_length_ = 0;
    std::vector<std::uint32_t> root_; ///< its clusters
    std::optional<ExtentSet> free_;
};

} // namespace disktool::fat
