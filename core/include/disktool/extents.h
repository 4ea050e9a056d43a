// SPDX-License-Identifier: LGPL-2.1-or-later
// Sets of bytes of a disk: free space, allocated clusters, what a table covers.
#pragma once

#include <disktool/api.h>
#include <disktool/range.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace disktool {

/// A set of bytes, kept as sorted, disjoint, merged ranges (two ranges in it never touch).
///
/// Units: bytes. Memory: ranges are packed as gap/length pairs of variable width, 2 bytes a range for 4 KiB
/// pieces, so that the worst case (a 1 TiB disk of which every second 4 KiB block is free: 134 million ranges)
/// takes about 270 MB. Every set operation is one merge over both operands: O(ranges), forward only.
/// Threads: a const ExtentSet may be read from many threads.
class DISKTOOL_API ExtentSet {
  public:
    class DISKTOOL_API const_iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Range;
        using difference_type = std::ptrdiff_t;
        using pointer = const Range*;
        using reference = const Range&;

        reference operator*() const { return current_; }
        pointer operator->() const { return &current_; }
        const_iterator& operator++();
        const_iterator operator++(int);
        friend bool operator==(const const_iterator& a, const const_iterator& b) { return a.at_ == b.at_; }

      private:
        friend class ExtentSet;
        const_iterator(const std::uint8_t* at, const std::uint8_t* end);
        void decode();
        const std::uint8_t* at_ = nullptr;   ///< where current_ is encoded; == end_ past the last
        const std::uint8_t* next_ = nullptr; ///< where the range after it is encoded
        const std::uint8_t* end_ = nullptr;
        Range current_;
    };

    ExtentSet() = default;
    explicit ExtentSet(Range range) { append(range); }
    /// Any order, overlaps allowed.
    static ExtentSet from_unsorted(std::vector<Range> ranges);

    /// Adds a range that starts at or after the start of the last one; it is merged where they touch or
    /// overlap. Empty ranges are ignored. Throws std::logic_error when out of order.
    void append(Range range);

    bool empty() const { return count_ == 0; }
    std::size_t count() const { return count_; }          ///< ranges
    std::uint64_t total() const { return total_; }        ///< bytes in the set
    std::size_t memory() const { return packed_.size(); } ///< bytes that the ranges take, packed
    /// From the first byte in the set to the last; empty for an empty set.
    Range span() const;
    const_iterator begin() const;
    const_iterator end() const;
    std::vector<Range> to_vector() const { return {begin(), end()}; }

    ExtentSet unite(const ExtentSet& other) const;
    ExtentSet intersect(const ExtentSet& other) const;
    ExtentSet subtract(const ExtentSet& other) const;
    /// What of `within` is not in the set.
    ExtentSet complement(Range within) const;
    ExtentSet clip(Range within) const;
    /// Every range moved up by `distance` (a partition's free space on its disk).
    ExtentSet shifted(std::uint64_t distance) const;
    /// Only the whole, aligned units of `unit` bytes that lie in the set.
    ExtentSet rounded_inward(std::uint64_t unit) const;
    /// Every aligned unit of `unit` bytes of which some byte is in the set.
    ExtentSet rounded_outward(std::uint64_t unit) const;

    /// O(ranges).
    bool contains(Range range) const;
    bool intersects(Range range) const;

    friend bool operator==(const ExtentSet& a, const ExtentSet& b);

  private:
    void push(Range range);
    std::vector<std::uint8_t> packed_;
    Range last_;
    std::size_t last_at_ = 0;        ///< where last_ is packed
    std::uint64_t previous_end_ = 0; ///< end of the range before last_
    std::size_t count_ = 0;
    std::uint64_t total_ = 0;
};

} // namespace disktool
