// SPDX-License-Identifier: LGPL-2.1-or-later
// resize: the virtual disk, and the partition table's end with it.
#pragma once

#include "verb/verb_context.h"

#include <disktool/plan.h>

#include <cstdint>

namespace disktool {

struct ResizePlan {
    Plan plan;
    std::uint64_t old_size = 0; ///< bytes
    std::uint64_t new_size = 0; ///< bytes
};

/// An empty plan where the disk has that size already, unless its backup GPT is not at its end. Throws for what
/// cannot be: smaller (size_impossible), internal snapshots, a damaged table, a size that the format cannot
/// hold.
DISKTOOL_API ResizePlan plan_resize(VerbContext& context, std::uint64_t new_size);

} // namespace disktool
