// SPDX-License-Identifier: LGPL-2.1-or-later
// Which volumes are plain ones, whose extents are their content, and what the others are.
#pragma once

#include "volume_group.h"

#include <string>

namespace disktool::lvm2 {

/// Sets problem and reason of every volume whose content is not simply what lies in its extents, or is not
/// its own alone: a thin volume, a snapshot, the origin of one (the snapshot shows what is overwritten there),
/// a hidden part of another.
void name_problems(VolumeGroup& group);

/// A kind of segment as it may be shown: bytes of a guest that are no letters become '?'.
std::string shown_kind(const std::string& kind);

} // namespace disktool::lvm2
