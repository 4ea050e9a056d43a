// SPDX-License-Identifier: LGPL-2.1-or-later
// A partition table rewritten where it lies, on a disk that is in use.
#pragma once

#include "partition/table.h"

#include <disktool/block_device.h>

namespace disktool {

/// Writes what table_patches() tells, in such an order, with a flush after each part, that whoever reads the
/// table after a cut at any sector finds a valid one, the old or the new: of a GPT never both copies are on the
/// way at once, and the one that is relied on is written last. An old backup that is in the way of the disk's
/// new end goes at the end. For changes that cut nothing (a disk, a partition that becomes larger); `disk` has
/// the new size already. Nothing is written where nothing changes. Throws as table_patches().
DISKTOOL_API void change_table_in_place(BlockDevice& disk, const PartitionTable& table,
                                        const TableChange& change);

} // namespace disktool
