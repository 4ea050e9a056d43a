// SPDX-License-Identifier: LGPL-2.1-or-later
// merge: internal snapshots go, or a backing chain becomes one image.
#pragma once

#include "verb/verb_context.h"

#include <disktool/plan.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool {

/// All internal snapshots are deleted; the disk's present content stays, and what only they held goes back to
/// the host. An empty plan where there are none.
DISKTOOL_API Plan plan_merge_snapshots(VerbContext& context);

/// How the images of a chain become one.
enum class MergeDirection {
    into_top,  ///< what shows through from below is copied into the top image
    into_base, ///< what the upper images hold is copied into the base image, which then takes the top's name
};

struct MergeOptions {
    bool force_shared = false; ///< though another image uses one of the backing files
};

struct ExternalMergePlan {
    Plan plan;
    MergeDirection direction = MergeDirection::into_top;
    std::uint64_t bytes = 0;          ///< guest bytes to be moved
    std::vector<std::string> removed; ///< files that are gone afterwards
};

/// The session must have been opened with OpenOptions::whole_chain. The result has the name of the top image
/// and its disk; each cluster is moved once, in the direction that moves fewer bytes. The other files are
/// removed when the result is synced and verified. An empty plan for an image that stands alone. Throws
/// unsupported for internal snapshots anywhere in the chain and for a backing file that another image uses
/// (merge_shared), no_space.
DISKTOOL_API ExternalMergePlan plan_merge_external(VerbContext& context, const MergeOptions& options);

} // namespace disktool
