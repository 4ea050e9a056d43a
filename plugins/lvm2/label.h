// SPDX-License-Identifier: LGPL-2.1-or-later
// The label of a physical volume: who it is, and where on the device its metadata and its data lie.
//
// Format (lvm2, lib/format_text/layout.h and lib/label/label.h; libblkid's lvm.c): one of the first four
// sectors holds "LABELONE", the sector's number (u64), a checksum of the sector from byte 20 on, the offset of
// the header within it and "LVM2 001". The header: 32 letters of UUID, the device's size, then lists of
// (offset, size), each ended by an offset of 0: data areas, metadata areas; then, since 2012, an extension:
// version, flags, and a list of bootloader areas.
#pragma once

#include <disktool/block_device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::lvm2 {

constexpr std::uint64_t sector_size = 512;
constexpr std::uint64_t label_sectors = 4;

struct Label {
    std::uint64_t offset = 0; ///< of the label's sector, bytes
    std::string uuid;         ///< 32 letters and digits, without hyphens
    std::uint64_t device_size = 0;
    std::vector<Range> data_areas; ///< a length of 0: up to the end of the device
    std::vector<Range> metadata_areas;
    std::vector<Range> bootloader_areas;
    /// Does it belong to a volume group? Unknown where an old LVM wrote it.
    std::optional<bool> used;
};

/// Is there the label's magic number, and is one of the labels whole?
enum class LabelFound { no, broken, whole };
LabelFound find_label(BlockDevice& device);

/// The first whole label. Throws damage, also where its areas do not lie within the device.
Label read_label(BlockDevice& device);

/// "1TjjmD-jz01-r3mQ-9tpk-H1mL-c0Xc-C7WYLT", as LVM and blkid write a UUID of 32 letters.
std::string uuid_text(const std::string& uuid);

} // namespace disktool::lvm2
