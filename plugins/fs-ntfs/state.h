// SPDX-License-Identifier: GPL-2.0-or-later
// Is what lies on disk all there is to know, or does a journal, a sleeping Windows or a crash stand in between?
#pragma once

#include "volume.h"

#include <disktool/filesystem.h>

#include <cstdint>
#include <string>

namespace disktool::ntfs {

/// What the file $Volume says.
struct VolumeInformation {
    std::string label;
    unsigned major_version = 0; ///< 3.1 since Windows XP
    unsigned minor_version = 0;
    std::uint16_t flags = 0;

    bool dirty() const { return (flags & 0x0001) != 0; }
    bool being_checked() const { return (flags & 0x4000) != 0; }
};
VolumeInformation read_volume_information(const Volume& volume);

/// Nobody but Windows can put any of these right: mounting with ntfs-3g only throws the journal away. Throws
/// damaged.
FilesystemState read_state(const Volume& volume, const VolumeInformation& information);

} // namespace disktool::ntfs
