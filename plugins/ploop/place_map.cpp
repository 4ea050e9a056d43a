// SPDX-License-Identifier: LGPL-2.1-or-later
#include "place_map.h"

#include <algorithm>
#include <bit>

namespace disktool::ploop {

void PlaceMap::set_first(std::uint64_t first) {
    first_ = first;
    full_below_ = first;
}

bool PlaceMap::used(std::uint64_t place) const {
    if (place >= end_ || !pages_[place / page_bits]) {
        return false;
    }
    const std::uint64_t word = (*pages_[place / page_bits])[place % page_bits / word_bits];
    return (word >> place % word_bits & 1) != 0;
}

void PlaceMap::add(std::uint64_t place) {
    if (used(place)) {
        return;
    }
    if (place / page_bits >= pages_.size()) {
        pages_.resize(place / page_bits + 1);
    }
    auto& page = pages_[place / page_bits];
    if (!page) {
        page = std::make_unique<Page>();
    }
    (*page)[place % page_bits / word_bits] |= std::uint64_t{1} << place % word_bits;
    ++count_;
    end_ = std::max(end_, place + 1);
}

void PlaceMap::remove(std::uint64_t place) {
    if (!used(place)) {
        return;
    }
    (*pages_[place / page_bits])[place % page_bits / word_bits] &= ~(std::uint64_t{1} << place % word_bits);
    --count_;
    if (place >= first_) {
        full_below_ = std::min(full_below_, place);
    }
    if (place + 1 != end_) {
        return;
    }
    for (end_ = place; end_ > 0;) { // down to the next used one
        const auto& page = pages_[(end_ - 1) / page_bits];
        if (!page) {
            end_ = (end_ - 1) / page_bits * page_bits;
            continue;
        }
        const std::uint64_t start = (end_ - 1) / word_bits * word_bits;
        std::uint64_t word = (*page)[start % page_bits / word_bits];
        word &= ~std::uint64_t{0} >> (word_bits - (end_ - start));
        if (word != 0) {
            end_ = start + word_bits - static_cast<std::uint64_t>(std::countl_zero(word));
            return;
        }
        end_ = start;
    }
}

std::optional<std::uint64_t> PlaceMap::lowest_hole() {
    const auto hole = next_hole(std::max(full_below_, first_));
    full_below_ = hole.value_or(std::max(first_, end_));
    return hole;
}

std::optional<std::uint64_t> PlaceMap::next_hole(std::uint64_t place) const {
    while (place < end_) {
        const auto& page = pages_[place / page_bits];
        if (!page) {
            return place;
        }
        const std::uint64_t start = place / word_bits * word_bits;
        std::uint64_t free = ~(*page)[start % page_bits / word_bits];
        free &= ~std::uint64_t{0} << (place - start);
        if (free != 0) {
            const std::uint64_t hole = start + static_cast<std::uint64_t>(std::countr_zero(free));
            return hole < end_ ? std::optional(hole) : std::nullopt;
        }
        place = start + word_bits;
    }
    return std::nullopt;
}

} // namespace disktool::ploop
