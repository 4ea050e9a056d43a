// SPDX-License-Identifier: LGPL-2.1-or-later
// Moving guest bytes from one image of a chain into another, by the shortest way that the host has.
#pragma once

#include <disktool/extents.h>
#include <disktool/format.h>
#include <disktool/plan.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <vector>

namespace disktool {

/// What must be brought to the other image. Guest bytes.
struct MergeSet {
    ExtentSet data;
    ExtentSet zeros; ///< must read as zeros there

    std::uint64_t bytes() const { return data.total(); }
};

/// What shows through `top` from the images below it.
MergeSet below(Image& top);
/// What the images above `base` say, and what they hide of it by being smaller.
MergeSet above(Image& top, Image& base);

/// The first and the last bytes of each run that was moved, as hashes, to be compared with what the result says
/// when it is read anew.
class MovedRuns {
  public:
    void add(BlockDevice& source, Range run);
    /// Throws failure naming the place that differs.
    void compare(BlockDevice& result) const;

  private:
    struct Sample {
        Range place;
        std::uint64_t hash = 0;
    };
    std::vector<Sample> samples_;
};

/// Brings `set` of the chain under `top` to `target`. Clusters are shared or copied by the host where it can.
/// Reports "bytes_moved" and "bytes_shared_by_host".
void merge_copy(StepContext& context, Image& top, const MergeSet& set, WorkingDisk& target, MovedRuns& moved);

} // namespace disktool
