// SPDX-License-Identifier: GPL-2.0-or-later
// Run lists: which clusters of the volume hold which clusters of an attribute.
#pragma once

#include "little_endian.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace disktool::ntfs {

constexpr std::uint64_t hole = ~std::uint64_t{0};

/// `length` clusters of the attribute from `vcn` on lie at cluster `lcn` of the volume; hole: nowhere.
struct Run {
    std::uint64_t vcn = 0;
    std::uint64_t lcn = hole;
    std::uint64_t length = 0;

    bool stored() const { return lcn != hole; }
};
using RunList = std::vector<Run>;

/// Appends the runs that `packed` (the mapping pairs of one attribute record) holds to `list`, the first at
/// `vcn`. Each pair: a byte with the widths of length (low) and of the signed distance to the run before
/// (high; 0: a hole). False, and no promise on `list`, where a run lies outside `clusters` clusters, the end
/// mark is missing, or the attribute would have 2^40 clusters or more.
bool unpack_runs(Bytes packed, std::uint64_t vcn, std::uint64_t clusters, RunList& list);

/// Bytes that the mapping pairs of the list need , end mark included. As ntfsresize builds them: the
/// least width for each number.
std::uint64_t packed_size(const RunList& list);

} // namespace disktool::ntfs
