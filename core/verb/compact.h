// SPDX-License-Identifier: LGPL-2.1-or-later
// compact: unused space of the disk goes back to the host.
#pragma once

#include "verb/survey.h"
#include "verb/verb_context.h"

#include <disktool/plan.h>

#include <cstdint>
#include <optional>

namespace disktool {

/// The plan refers to the session's image. `estimate` is missing where the appliance does all.
struct CompactPlan {
    Plan plan;
    std::optional<CompactEstimate> estimate;
    std::uint64_t allocated = 0; ///< host bytes now
};

/// An empty plan where nothing is to be had. Engine::automatic: native, and the appliance for file systems
/// whose journal must be replayed first; Engine::native refuses those (damaged); Engine::appliance does all
/// there. Throws unsupported for a disk on which nothing is known, damaged for one with a damaged file system.
struct CompactOptions {
    std::uint64_t smallest = 0; ///< bytes: shorter pieces of free space are left alone
    std::uint64_t enough = 0;   ///< bytes: no more free space than this is given back; 0: all of it
};

DISKTOOL_API CompactPlan plan_compact(VerbContext& context, const CompactOptions& options = {});

} // namespace disktool
