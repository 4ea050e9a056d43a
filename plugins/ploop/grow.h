// SPDX-License-Identifier: LGPL-2.1-or-later
// What a disk must be for growing, at rest or in use. All refuse with exit 38.
#pragma once

#include "delta.h"

#include <cstdint>
#include <memory>
#include <span>

namespace disktool::ploop {

void require_grow_size(const Delta& top, std::uint64_t disk_sectors);
/// The new part must read as zeros, and a lower image that is longer than the top would shine through there.
void require_nothing_below(std::span<const std::unique_ptr<Delta>> base_to_top, std::uint64_t disk_sectors);

} // namespace disktool::ploop
