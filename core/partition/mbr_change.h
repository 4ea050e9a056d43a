// SPDX-License-Identifier: LGPL-2.1-or-later
// What a change of disk and partition sizes means for an MBR and its chain of extended boot records.
#pragma once

#include "partition/sector_writes.h"
#include "partition/table.h"

#include <disktool/block_device.h>

namespace disktool {

/// A logical partition takes its boot record's entry, the link to it and the extended partition along; an
/// extended partition that would reach past the disk's new end is cut behind its last logical one. Throws
/// size_impossible where 32 bits do not hold the sectors.
void change_mbr(BlockDevice& disk, const PartitionTable& table, const TableChange& change,
                SectorWrites& writes);

} // namespace disktool
