// SPDX-License-Identifier: GPL-2.0-or-later
// The boot sector as it lies on disk, judged before anything else is read.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::ntfs {

/// With no defect() every size here is a power of two within its limits, and no product of them overflows.
/// Layout: Microsoft, "NTFS: how it works", BIOS parameter block; NTFS documentation of the linux-ntfs project.
class BootSector {
  public:
    /// None when the device is too short or the OEM id is another ("NTFS    " is ours; BitLocker writes
    /// "-FVE-FS-").
    static std::optional<BootSector> read(BlockDevice& device);

    std::uint32_t sector_size() const { return sector_size_; }
    std::uint32_t cluster_size() const { return cluster_size_; }
    std::uint32_t record_size() const { return record_size_; } ///< of the MFT
    std::uint32_t index_size() const { return index_size_; }   ///< of index blocks
    std::uint64_t sectors() const { return sectors_; } ///< without the backup boot sector that follows them
    std::uint64_t clusters() const { return sectors_ / (cluster_size_ / sector_size_); } ///< whole ones
    std::uint64_t mft_cluster() const { return mft_cluster_; }
    std::uint64_t mirror_cluster() const { return mirror_cluster_; }
    std::uint64_t serial() const { return serial_; }
    /// What makes no sense in it, as half a sentence; empty when all does.
    std::string defect() const;

  private:
    BootSector() = default;

    bool fat_fields_empty_ = false;
    std::uint32_t sector_size_ = 0;
    std::uint32_t cluster_size_ = 0; ///< 0 where the field makes no sense, as with the next two
    std::uint32_t record_size_ = 0;
    std::uint32_t index_size_ = 0;
    std::uint64_t sectors_ = 0;
    std::uint64_t mft_cluster_ = 0;
    std::uint64_t mirror_cluster_ = 0;
    std::uint64_t serial_ = 0;
};

} // namespace disktool::ntfs
