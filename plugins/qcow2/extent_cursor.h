// SPDX-License-Identifier: LGPL-2.1-or-later
// Questions to an ExtentSet that come in ascending order.
#pragma once

#include <disktool/extents.h>

#include <algorithm>
#include <cstdint>

namespace disktool::qcow2 {

/// Walks forward over the set with the questions, so that each costs nothing but its own ranges. Refers to the
/// set, which must outlive it.
class ExtentCursor {
  public:
    explicit ExtentCursor(const ExtentSet& set) : at_(set.begin()), end_(set.end()) {}

    /// How many bytes of `range` are in the set. Ranges may not overlap or come out of order.
    std::uint64_t overlap(Range range) {
        std::uint64_t result = 0;
        for (; at_ != end_ && at_->offset < range.end(); ++at_) {
            if (at_->end() > range.offset) {
                result += std::min(at_->end(), range.end()) - std::max(at_->offset, range.offset);
            }
            if (at_->end() > range.end()) {
                break; // goes on behind it
            }
        }
        return result;
    }
    bool contains(Range range) { return overlap(range) == range.length; }

  private:
    ExtentSet::const_iterator at_;
    ExtentSet::const_iterator end_;
};

} // namespace disktool::qcow2
