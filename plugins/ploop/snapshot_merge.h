// SPDX-License-Identifier: LGPL-2.1-or-later
// Several deltas of a chain become one: a part of the plans of snapshot-merge and snapshot-delete.
#pragma once

#include "disk_change.h"

#include <string>
#include <vector>

namespace disktool::ploop {

/// Neighbours in a chain, lowest first, at least two.
using Segment = std::vector<Uuid>;

/// Adds the steps that merge the segment into its lowest file, or into `new_file` (an absolute path; empty:
/// none), for a disk that is at `before` when they run. Refuses (exit 38) where a lower one has other children.
/// Returns the descriptor afterwards: the highest uuid stays.
Descriptor add_merge(Plan& plan, PloopDisk& disk, const std::string& verb, const Descriptor& before,
                     const Segment& segment, const std::string& new_file);

} // namespace disktool::ploop
