// SPDX-License-Identifier: LGPL-2.1-or-later
// Text fields of the superblock. A guest can put any bytes there, and they end up on terminals and in JSON.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace disktool::btrfs {

/// Up to the first NUL or the end of the field. Control characters and what is not UTF-8 become '?'.
std::string disk_text(std::span<const unsigned char> field);
/// As blkid writes it; empty when all zeros.
std::string uuid_text(std::span<const unsigned char, 16> uuid);

} // namespace disktool::btrfs
