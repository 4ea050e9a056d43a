// SPDX-License-Identifier: LGPL-2.1-or-later
// The guest bytes that were written since a moment: what a recording bitmap has to know.
#pragma once

#include <disktool/range.h>

#include <cstdint>
#include <iterator>
#include <map>

namespace disktool::qcow2 {

/// Ranges in any order, joined, in units of `unit` bytes. Unit 0: nobody wants to know, nothing is kept.
class ChangedRanges {
  public:
    explicit ChangedRanges(std::uint64_t unit) : unit_(unit) {}

    bool wanted() const { return unit_ != 0; }
    bool empty() const { return ranges_.empty(); }

    void add(Range range) {
        if (unit_ == 0 || range.empty()) {
            return;
        }
        std::uint64_t from = range.offset / unit_ * unit_;
        std::uint64_t to = (range.end() - 1) / unit_ * unit_ + unit_;
        auto at = ranges_.upper_bound(from);
        if (at != ranges_.begin() && std::prev(at)->second >= from) {
            --at;
            from = at->first;
        }
        while (at != ranges_.end() && at->first <= to) {
            to = at->second > to ? at->second : to;
            at = ranges_.erase(at);
        }
        ranges_.emplace(from, to);
    }

    /// What of them lies in `within`, ascending.
    template <typename Visit>
    void for_each(Range within, Visit visit) const {
        auto at = ranges_.upper_bound(within.offset);
        if (at != ranges_.begin()) {
            --at;
        }
        for (; at != ranges_.end() && at->first < within.end(); ++at) {
            const std::uint64_t from = at->first > within.offset ? at->first : within.offset;
            const std::uint64_t to = at->second < within.end() ? at->second : within.end();
            if (from < to) {
                visit(Range{from, to - from});
            }
        }
    }
    bool intersects(Range within) const {
        bool found = false;
        for_each(within, [&](Range) { found = true; });
        return found;
    }

  private:
    std::uint64_t unit_;
    std::map<std::uint64_t, std::uint64_t> ranges_; ///< start to end
};

} // namespace disktool::qcow2
