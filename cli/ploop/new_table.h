// SPDX-License-Identifier: LGPL-2.1-or-later
// The partition table of a new disk.
#pragma once

#include <disktool/range.h>

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

/// A GPT in the file, by libfdisk, with one Linux partition without a name. Gives the partition's bytes. It
/// begins at the second cluster and ends with the first sector of the last one, as the original's. Throws
/// PloopError(make_filesystem).
Range make_table(const std::string& path, std::uint64_t disk_size, std::uint32_t cluster_sectors);

} // namespace disktool::ploop::cli
