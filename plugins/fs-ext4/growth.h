// SPDX-License-Identifier: LGPL-2.1-or-later
// How large resize2fs would make it.
#pragma once

#include <cstdint>

extern "C" {
#include <ext2fs/ext2fs.h>
}

namespace disktool::ext4 {

/// What `resize2fs` makes of the file system on a device of that many bytes, in bytes: whole blocks, and no
/// last block group that would hold hardly more than its own tables. Never less than it is now.
std::uint64_t grown_size(ext2_filsys filesystem, std::uint64_t device_size);

} // namespace disktool::ext4
