// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether an image as it lies can be worked on, and what its refcounts know that no reference explains.
#pragma once

#include "image.h"

#include <cstdint>
#include <map>

namespace disktool::qcow2 {

/// Plain data, from one walk over all of the image's references.
struct Present {
    /// How much higher than its references a cluster's refcount is. Only kept where the clusters may be
    /// someone's (see unknown_owner): elsewhere such leaks are simply not carried on.
    std::map<std::uint64_t, std::uint64_t> leaks;
    /// Behind the end of the file, and behind all clusters that are kept as leaks; bytes, a cluster's start.
    std::uint64_t tail_start = 0;
    std::uint64_t used = 0; ///< bytes of the file in clusters that something refers to
};

/// Throws damaged where a cluster has more references than its refcount says, and what the walk throws.
Present look_at_present(Image& image);

} // namespace disktool::qcow2
