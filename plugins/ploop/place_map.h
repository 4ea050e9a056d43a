// SPDX-License-Identifier: LGPL-2.1-or-later
// Which clusters of an image file are in use: one bit each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace disktool::ploop {

/// A set of file clusters ("places"). Made of pages that come into being when a bit in them is first set, so a
/// sparse file that claims to be huge costs little. Threads: one at a time.
class PlaceMap {
  public:
    /// Places below this one are never free: header and BAT lie there.
    void set_first(std::uint64_t first);
    std::uint64_t first() const { return first_; }

    bool used(std::uint64_t place) const;
    void add(std::uint64_t place);
    void remove(std::uint64_t place);

    std::uint64_t count() const { return count_; } ///< used ones
    std::uint64_t end() const { return end_; }     ///< behind the highest used one; 0: none is used
    /// The lowest unused place from first() on and below end().
    std::optional<std::uint64_t> lowest_hole();
    /// The next unused place from `place` on and below end().
    std::optional<std::uint64_t> next_hole(std::uint64_t place) const;

  private:
    static constexpr std::uint64_t word_bits = 64;
    static constexpr std::uint64_t page_bits = 4096 * 8;
    using Page = std::array<std::uint64_t, page_bits / word_bits>;

    std::vector<std::unique_ptr<Page>> pages_; ///< null: none in it is used
    std::uint64_t first_ = 0;
    std::uint64_t count_ = 0;
    std::uint64_t end_ = 0;
    std::uint64_t full_below_ = 0; ///< from first_ up to here all are used
};

} // namespace disktool::ploop
