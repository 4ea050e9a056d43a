// SPDX-License-Identifier: LGPL-2.1-or-later
// Which guest clusters a compact gives up, and what their L2 entries become.
#pragma once

#include "extent_cursor.h"
#include "image.h"
#include "reference_count.h"

#include <disktool/extents.h>

#include <cstdint>
#include <span>

namespace disktool::qcow2 {

enum class Fate {
    keep,
    keep_shared, ///< holds only free space, but an internal snapshot needs it too
    free,
};

/// Decides for the clusters of the active tables, asked in ascending order; a second pass over the same image
/// makes a second one and gets the same answers. Refers to `counts`, in which the snapshots must have been
/// counted before, and to `discardable`.
class FreeRule {
  public:
    /// discardable: guest bytes, whole clusters (see whole_clusters).
    FreeRule(const Header& header, bool has_backing, const ExtentSet& discardable,
             const ReferenceCount& counts);

    /// table_shared: the L2 table belongs to a snapshot too.
    Fate decide(std::uint64_t guest_cluster, const ClusterEntry& entry, bool table_shared);
    /// Makes the entry one without a host cluster. What it shows then: zeros, or, where a version 2 image has
    /// no way to say so, its backing file.
    void erase(std::span<std::uint64_t> entry_words) const;

  private:
    ExtentCursor cursor_;
    const ReferenceCount& counts_;
    std::uint64_t cluster_size_;
    bool extended_;
    bool zero_flag_; ///< there is a backing file, and a way to hide it
};

/// An entry that reads as zeros and has no host cluster. Of version 3.
void make_zero(std::span<std::uint64_t> entry_words, bool extended);

/// The bytes of the file that an entry refers to; empty where none.
Range host_range(const ClusterEntry& entry, std::uint64_t cluster_size);

/// The clusters that lie wholly in `bytes`; the end of the disk counts as the end of its last one.
ExtentSet whole_clusters(const Header& header, const ExtentSet& bytes);

} // namespace disktool::qcow2
