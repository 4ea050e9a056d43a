// SPDX-License-Identifier: LGPL-2.1-or-later
// Several deltas of a chain become one: a part of the plans of snapshot-merge and snapshot-delete.
#pragma once

#include "disk_change.h"

#include <span>
#include <string>
#include <vector>

namespace disktool::ploop {

/// Neighbours in a chain, lowest first, at least two.
using Segment = std::vector<Uuid>;

/// What a request names. Refuses (exit 38; 43 for a snapshot that is not there) what cannot be merged.
Segment segment_of(const PloopDisk& disk, const MergeRequest& request);
/// The absolute path of the request's new file, which is not there yet; empty: it has none.
std::string new_file_of(const PloopDisk& disk, const MergeRequest& request);
/// Nobody else may look through a delta that is about to change (exit 38).
void require_single_children(const PloopDisk& disk, const Descriptor& descriptor, const Segment& segment);
/// Clusters behind the end of the highest one would go with the merge, though a larger disk above may see them.
void require_nothing_behind(std::span<const Delta* const> newest_first, const Descriptor& descriptor,
                            const Uuid& highest);
/// Of a base that is raw no new file can be made (exit 4).
void refuse_new_of_raw(const Descriptor& descriptor, const Segment& segment, const std::string& new_file);
/// The segment is one entry, on `file`.
Descriptor merged(const Descriptor& before, const Segment& segment, const std::string& file);

/// Adds the steps that merge the segment into its lowest file, or into `new_file` (an absolute path; empty:
/// none), for a disk that is at `before` when they run. Refuses (exit 38) where a lower one has other children.
/// Returns the descriptor afterwards: the highest uuid stays.
Descriptor add_merge(Plan& plan, PloopDisk& disk, const std::string& verb, const Descriptor& before,
                     const Segment& segment, const std::string& new_file);

} // namespace disktool::ploop
