// SPDX-License-Identifier: LGPL-2.1-or-later
// The table of internal snapshots.
#pragma once

#include "header.h"

#include <disktool/file.h>
#include <disktool/format.h>

#include <cstdint>
#include <vector>

namespace disktool::qcow2 {

struct Snapshot {
    SnapshotInfo info;
    std::uint64_t l1_offset = 0; ///< in the file, bytes
    std::uint32_t l1_size = 0;   ///< entries
};

struct SnapshotTable {
    std::vector<Snapshot> snapshots;
    Range range; ///< what it takes of the file, bytes; empty where there is none
};

/// Errors: damaged, with the offset of the entry.
SnapshotTable read_snapshots(File& file, const Header& header);

} // namespace disktool::qcow2
