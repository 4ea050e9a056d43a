// SPDX-License-Identifier: LGPL-2.1-or-later
// What a change of disk and partition sizes means for a GPT.
#pragma once

#include "partition/sector_writes.h"
#include "partition/table.h"

#include <disktool/block_device.h>

#include <cstdint>

namespace disktool {

/// Throws size_impossible where the table would not fit, damaged where it cannot be rewritten.
void change_gpt(BlockDevice& disk, const PartitionTable& table, const TableChange& change,
                SectorWrites& writes);

/// Bytes that a GPT needs at the end of its disk.
std::uint64_t gpt_tail(std::uint32_t sector_size, std::uint64_t entries_sectors);

} // namespace disktool
