// SPDX-License-Identifier: LGPL-2.1-or-later
// Going through the BAT of an image that may be broken in any way.
#pragma once

#include "header.h"
#include "place_map.h"

#include <disktool/file.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace disktool::ploop {

enum class BatFault {
    past_device, ///< the slot stands for what lies behind the end of the disk
    misaligned,  ///< version 1: not at a multiple of the cluster
    past_end,    ///< the cluster does not lie wholly in the file
    in_tables,   ///< the cluster is one of header or BAT
    used_twice,  ///< a slot before has it already
};

struct FaultyEntry {
    BatFault fault;
    std::uint64_t slot;    ///< the guest cluster
    std::uint64_t cluster; ///< the file cluster that the entry names
};

/// As the original prints it.
std::string text_of(const FaultyEntry& entry);

/// What an entry is to be changed to; none: it stays.
using JudgeEntry = std::function<std::optional<std::uint32_t>(const FaultyEntry&)>;

/// Hands every entry that is wrong to `judge`, each with the first fault found in the order above, and returns
/// which clusters the sound ones use. `entries`: slots of the disk; all slots before the first data cluster are
/// looked at. `bytes`: where the file ends for the entries' sake; the file holds at least header and BAT.
///
/// Changed entries are written piece by piece, in whole sectors (never the header's bytes), each piece after a
/// sync_data(): what `judge` has written by then is safe. The last piece is synced when this returns.
/// Memory: one piece of 1 MiB, and the set.
PlaceMap walk_bat(File& file, const Header& header, std::uint64_t entries, std::uint64_t bytes,
                  const JudgeEntry& judge);

} // namespace disktool::ploop
