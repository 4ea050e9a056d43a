// SPDX-License-Identifier: LGPL-2.1-or-later
// What deleting a snapshot is, at rest or in use.
#pragma once

#include "operations.h"

#include <optional>
#include <string>

namespace disktool::ploop {

/// One that waited for this: marked as temporary, not the top, with at most one snapshot on it.
std::optional<Uuid> removable_temporary(const Descriptor& descriptor);
/// Of one with several snapshots on it. Throws where it is marked already.
Descriptor marked_for_deletion(const PloopDisk& disk, const Uuid& uuid);
std::string deletion_mark_text(const Descriptor& after, const Uuid& uuid);

} // namespace disktool::ploop
