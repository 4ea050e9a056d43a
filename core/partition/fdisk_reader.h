// SPDX-License-Identifier: LGPL-2.1-or-later
// Partitions as libfdisk decodes them.
#pragma once

#include "partition/sparse_copy.h"
#include "partition/table.h"

#include <disktool/block_device.h>

namespace disktool {

/// Fills table.id and table.partitions from `copy`, a copy of the sectors that hold the table, of
/// table.sector_size and table.type. Checks that `expected` partitions came out: one that libfdisk leaves out
/// would pass for free space. Throws damaged. `disk` is for messages and for the limits of a range: a partition
/// beyond its end is Reason::partition_beyond_end.
void read_by_libfdisk(const BlockDevice& disk, const SparseCopy& copy, std::size_t expected,
                      PartitionTable& table);

} // namespace disktool
