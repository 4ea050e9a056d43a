// SPDX-License-Identifier: LGPL-2.1-or-later
// The packing: each range is the gap to the end of the one before it, and its length, both as a number of
// variable width. The first byte has bit 0 set when the value is counted in bytes rather than in sectors of
// 512, six bits of the value, and bit 7 when more follow; each byte after it has seven bits and the same bit 7.
// So 31.5 KiB fit into one byte, and any 64-bit value into ten.
#include <disktool/extents.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace disktool {

namespace {

constexpr std::uint64_t sector = 512;
constexpr std::uint8_t more = 0x80;

void encode(std::vector<std::uint8_t>& out, std::uint64_t value) {
    const bool in_bytes = value % sector != 0;
    std::uint64_t rest = in_bytes ? value : value / sector;
    std::uint64_t bits = (rest & 0x3f) << 1 | (in_bytes ? 1 : 0);
    rest >>= 6;
    while (rest != 0) {
        out.push_back(static_cast<std::uint8_t>(bits | more));
        bits = rest & 0x7f;
        rest >>= 7;
    }
    out.push_back(static_cast<std::uint8_t>(bits));
}

std::uint64_t decode_number(const std::uint8_t*& from) {
    std::uint8_t byte = *from++;
    const bool in_bytes = byte & 1;
    std::uint64_t value = (byte & 0x7f) >> 1;
    for (unsigned shift = 6; byte & more; shift += 7) {
        byte = *from++;
        value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    }
    return in_bytes ? value : value * sector;
}

std::uint64_t checked_sum(std::uint64_t a, std::uint64_t b) {
    if (b > std::numeric_limits<std::uint64_t>::max() - a)
        throw std::logic_error("ExtentSet: a range ends beyond 2^64");
    return a + b;
}

} // namespace

ExtentSet::const_iterator::const_iterator(const std::uint8_t* at, const std::uint8_t* end)
    : at_(at), next_(at), end_(end) {
    if (at_ != end_)
        decode();
}

void ExtentSet::const_iterator::decode() {
    const std::uint64_t gap = decode_number(next_);
    current_.offset = current_.end() + gap;
    current_.length = decode_number(next_);
}

ExtentSet::const_iterator& ExtentSet::const_iterator::operator++() {
    at_ = next_;
    if (at_ != end_)
        decode();
    return *this;
}

ExtentSet::const_iterator ExtentSet::const_iterator::operator++(int) {
    const const_iterator before = *this;
    ++*this;
    return before;
}

ExtentSet::const_iterator ExtentSet::begin() const {
    return {packed_.data(), packed_.data() + packed_.size()};
}

ExtentSet::const_iterator ExtentSet::end() const {
    return {packed_.data() + packed_.size(), packed_.data() + packed_.size()};
}

ExtentSet ExtentSet::from_unsorted(std::vector<Range> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.offset < b.offset; });
    ExtentSet set;
    for (const Range& range : ranges)
        set.append(range);
    return set;
}

void ExtentSet::append(Range range) {
    if (range.empty())
        return;
    const std::uint64_t end = checked_sum(range.offset, range.length);
    if (empty()) {
        push(range);
        return;
    }
    if (range.offset < last_.offset)
        throw std::logic_error("ExtentSet::append: out of order");
    if (range.offset > last_.end()) {
        previous_end_ = last_.end();
        push(range);
    } else if (end > last_.end()) {
        packed_.resize(last_at_);
        --count_;
        total_ -= last_.length;
        push({last_.offset, end - last_.offset});
    }
}

void ExtentSet::push(Range range) {
    last_at_ = packed_.size();
    encode(packed_, range.offset - previous_end_);
    encode(packed_, range.length);
    last_ = range;
    ++count_;
    total_ += range.length;
}

Range ExtentSet::span() const {
    if (empty())
        return {};
    const std::uint64_t first = begin()->offset;
    return {first, last_.end() - first};
}

ExtentSet ExtentSet::unite(const ExtentSet& other) const {
    ExtentSet result;
    const_iterator a = begin(), b = other.begin();
    const const_iterator a_end = end(), b_end = other.end();
    while (a != a_end || b != b_end) {
        const bool take_a = b == b_end || (a != a_end && a->offset <= b->offset);
        const_iterator& from = take_a ? a : b;
        result.append(*from);
        ++from;
    }
    return result;
}

ExtentSet ExtentSet::intersect(const ExtentSet& other) const {
    ExtentSet result;
    const_iterator a = begin(), b = other.begin();
    const const_iterator a_end = end(), b_end = other.end();
    while (a != a_end && b != b_end) {
        const std::uint64_t start = std::max(a->offset, b->offset);
        const std::uint64_t stop = std::min(a->end(), b->end());
        if (start < stop)
            result.append({start, stop - start});
        ++(a->end() <= b->end() ? a : b);
    }
    return result;
}

ExtentSet ExtentSet::subtract(const ExtentSet& other) const {
    ExtentSet result;
    const_iterator cut = other.begin();
    const const_iterator last_cut = other.end();
    for (const Range& range : *this) {
        std::uint64_t start = range.offset;
        while (cut != last_cut && cut->offset < range.end()) {
            if (cut->offset > start)
                result.append({start, cut->offset - start});
            start = std::max(start, cut->end());
            if (cut->end() > range.end())
                break; // it may cut the next range, too
            ++cut;
        }
        if (start < range.end())
            result.append({start, range.end() - start});
    }
    return result;
}

ExtentSet ExtentSet::complement(Range within) const {
    return ExtentSet(within).subtract(*this);
}

ExtentSet ExtentSet::clip(Range within) const {
    return intersect(ExtentSet(within));
}

ExtentSet ExtentSet::shifted(std::uint64_t distance) const {
    ExtentSet result;
    for (const Range& range : *this)
        result.append({checked_sum(range.offset, distance), range.length});
    return result;
}

ExtentSet ExtentSet::rounded_inward(std::uint64_t unit) const {
    ExtentSet result;
    for (const Range& range : *this) {
        const std::uint64_t skipped = range.offset % unit == 0 ? 0 : unit - range.offset % unit;
        if (skipped < range.length)
            result.append({range.offset + skipped, (range.length - skipped) / unit * unit});
    }
    return result;
}

ExtentSet ExtentSet::rounded_outward(std::uint64_t unit) const {
    ExtentSet result;
    for (const Range& range : *this) {
        const std::uint64_t before = range.offset % unit;
        const std::uint64_t after = range.end() % unit == 0 ? 0 : unit - range.end() % unit;
        result.append({range.offset - before, checked_sum(range.length + before, after)});
    }
    return result;
}

bool ExtentSet::contains(Range range) const {
    if (range.empty())
        return true;
    for (const Range& ours : *this) {
        if (ours.offset > range.offset)
            return false;
        if (range.offset < ours.end())
            return range.length <= ours.end() - range.offset;
    }
    return false;
}

bool ExtentSet::intersects(Range range) const {
    if (range.empty())
        return false;
    for (const Range& ours : *this) {
        if (ours.offset >= range.end())
            return false;
        if (ours.end() > range.offset)
            return true;
    }
    return false;
}

bool operator==(const ExtentSet& a, const ExtentSet& b) {
    return a.packed_ == b.packed_; // a set has one packing only
}

} // namespace disktool
