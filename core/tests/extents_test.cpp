// SPDX-License-Identifier: LGPL-2.1-or-later
// ExtentSet against the plainest model there is: one flag a unit.
#include <disktool/extents.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <ostream>
#include <random>
#include <stdexcept>
#include <vector>

namespace disktool {

void PrintTo(const Range& range, std::ostream* out) {
    *out << "[" << range.offset << ", +" << range.length << ")";
}

namespace {

constexpr std::uint64_t units = 160;
using Flags = std::vector<bool>;

/// Maps a unit of the model to bytes: where the disk begins and how large a unit is.
struct Scale {
    std::uint64_t base;
    std::uint64_t unit;
    Range range(std::uint64_t first, std::uint64_t count) const { return {base + first * unit, count * unit}; }
};

std::vector<Range> ranges_of(const Flags& flags, Scale scale) {
    std::vector<Range> result;
    for (std::uint64_t i = 0; i < flags.size(); ++i) {
        if (!flags[i])
            continue;
        if (i > 0 && flags[i - 1])
            result.back().length += scale.unit;
        else
            result.push_back(scale.range(i, 1));
    }
    return result;
}

ExtentSet set_of(const Flags& flags, Scale scale) {
    ExtentSet set;
    for (const Range& range : ranges_of(flags, scale))
        set.append(range);
    return set;
}

template <typename Combine>
Flags combined(const Flags& a, const Flags& b, Combine combine) {
    Flags result(a.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        result[i] = combine(a[i], b[i]);
    return result;
}

Flags random_flags(std::mt19937& random) {
    Flags flags(units);
    const auto stay = 1 + random() % 12; // how likely a run goes on
    bool value = random() % 2;
    for (std::size_t i = 0; i < units; ++i) {
        if (random() % stay == 0)
            value = !value;
        flags[i] = value;
    }
    return flags;
}

void expect_is(const ExtentSet& set, const Flags& flags, Scale scale) {
    const std::vector<Range> wanted = ranges_of(flags, scale);
    ASSERT_EQ(set.to_vector(), wanted);
    ASSERT_EQ(set.count(), wanted.size());
    ASSERT_EQ(set.empty(), wanted.empty());
    std::uint64_t total = 0;
    for (const Range& range : wanted)
        total += range.length;
    ASSERT_EQ(set.total(), total);
    if (!wanted.empty()) {
        ASSERT_EQ(set.span(), (Range{wanted.front().offset, wanted.back().end() - wanted.front().offset}));
    }
    ASSERT_TRUE(set == set_of(flags, scale));
}

class ExtentSetModel : public testing::TestWithParam<Scale> {};

TEST_P(ExtentSetModel, SetOperationsAgree) {
    const Scale scale = GetParam();
    std::mt19937 random(1);
    for (int round = 0; round < 400; ++round) {
        SCOPED_TRACE(round);
        const Flags a = random_flags(random), b = random_flags(random);
        const ExtentSet set_a = set_of(a, scale), set_b = set_of(b, scale);
        ASSERT_NO_FATAL_FAILURE(expect_is(set_a, a, scale));
        ASSERT_NO_FATAL_FAILURE(expect_is(set_a.unite(set_b), combined(a, b, std::logical_or<>()), scale));
        ASSERT_NO_FATAL_FAILURE(expect_is(set_a.intersect(set_b), combined(a, b, std::logical_and<>()), scale));
        ASSERT_NO_FATAL_FAILURE(
            expect_is(set_a.subtract(set_b), combined(a, b, [](bool x, bool y) { return x && !y; }), scale));

        const std::uint64_t first = random() % units, count = random() % (units - first + 1);
        const Range within = scale.range(first, count);
        Flags window(units);
        std::fill_n(window.begin() + static_cast<std::ptrdiff_t>(first), count, true);
        ASSERT_NO_FATAL_FAILURE(
            expect_is(set_a.clip(within), combined(a, window, std::logical_and<>()), scale));
        ASSERT_NO_FATAL_FAILURE(expect_is(set_a.complement(within),
                                          combined(a, window, [](bool x, bool w) { return w && !x; }), scale));
        const Flags missing = combined(a, window, [](bool x, bool w) { return w && !x; });
        ASSERT_EQ(set_a.contains(within), std::count(missing.begin(), missing.end(), true) == 0);
        const Flags common = combined(a, window, std::logical_and<>());
        ASSERT_EQ(set_a.intersects(within), std::count(common.begin(), common.end(), true) != 0);
    }
}

TEST_P(ExtentSetModel, RoundingAgrees) {
    const Scale scale = GetParam();
    if (scale.base % scale.unit != 0)
        return; // the model counts its units from the disk's start
    std::mt19937 random(2);
    for (int round = 0; round < 400; ++round) {
        SCOPED_TRACE(round);
        const Flags a = random_flags(random);
        const std::uint64_t many = 1 + random() % 9; // units in a cluster
        const std::uint64_t start = scale.base / scale.unit % many;
        Flags inward(units), outward(units + 2 * many);
        for (std::uint64_t i = 0; i < units; ++i) {
            // The cluster of unit i, seen from the model's start; it may begin before it or end behind it.
            const auto first = static_cast<std::int64_t>(i) - static_cast<std::int64_t>((start + i) % many);
            bool all = true, any = false;
            for (std::int64_t j = first; j < first + static_cast<std::int64_t>(many); ++j) {
                const bool set =
                    j >= 0 && j < static_cast<std::int64_t>(units) && a[static_cast<std::size_t>(j)];
                all = all && set;
                any = any || set;
            }
            inward[i] = all;
            outward[i] = any;
        }
        const ExtentSet set = set_of(a, scale);
        ASSERT_NO_FATAL_FAILURE(expect_is(set.rounded_inward(many * scale.unit), inward, scale));
        const ExtentSet outer = set.rounded_outward(many * scale.unit);
        outward.resize(units);
        ASSERT_NO_FATAL_FAILURE(expect_is(outer.clip(scale.range(0, units)), outward, scale));
        for (const Range& range : outer) {
            ASSERT_EQ(range.offset % (many * scale.unit), 0u);
            ASSERT_EQ(range.length % (many * scale.unit), 0u);
        }
        ASSERT_TRUE(outer.subtract(set).total() < 2 * many * scale.unit * (set.count() + 1));
    }
}

TEST_P(ExtentSetModel, UnsortedAndOverlappingRangesAreSorted) {
    const Scale scale = GetParam();
    std::mt19937 random(3);
    for (int round = 0; round < 400; ++round) {
        SCOPED_TRACE(round);
        Flags flags(units);
        std::vector<Range> ranges;
        for (auto i = random() % 20; i > 0; --i) {
            const std::uint64_t first = random() % units,
                                count = random() % std::min<std::uint64_t>(units - first, 20);
            ranges.push_back(scale.range(first, count));
            std::fill_n(flags.begin() + static_cast<std::ptrdiff_t>(first), count, true);
        }
        ASSERT_NO_FATAL_FAILURE(expect_is(ExtentSet::from_unsorted(ranges), flags, scale));
    }
}

TEST_P(ExtentSetModel, ShiftingMovesAll) {
    const Scale scale = GetParam();
    std::mt19937 random(4);
    for (int round = 0; round < 200; ++round) {
        const Flags flags = random_flags(random);
        const std::uint64_t distance = random();
        ASSERT_NO_FATAL_FAILURE(
            expect_is(set_of(flags, scale).shifted(distance), flags, {scale.base + distance, scale.unit}));
    }
}

INSTANTIATE_TEST_SUITE_P(Scales, ExtentSetModel,
                         testing::Values(Scale{0, 1}, Scale{0, 512}, Scale{0, 4096}, Scale{0, 64 * KiB},
                                         Scale{3, 700}, Scale{1 * TiB, 3 * GiB + 1}, Scale{1ull << 62, 4096},
                                         Scale{(1ull << 63) + 511, 513}));

TEST(ExtentSet, TakesEveryValue) {
    std::mt19937_64 random(5);
    for (int round = 0; round < 5000; ++round) {
        const std::uint64_t offset = random() >> (1 + random() % 63);
        const std::uint64_t length = 1 + (random() >> (1 + random() % 63));
        const ExtentSet set(Range{offset, length});
        ASSERT_EQ(set.to_vector(), (std::vector<Range>{{offset, length}}));
    }
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    EXPECT_EQ(ExtentSet(Range{0, most}).to_vector(), (std::vector<Range>{{0, most}}));
    EXPECT_EQ(ExtentSet(Range{most - 1, 1}).to_vector(), (std::vector<Range>{{most - 1, 1}}));
    EXPECT_EQ(ExtentSet(Range{most - 511, 511}).to_vector(), (std::vector<Range>{{most - 511, 511}}));
}

TEST(ExtentSet, AppendMergesAndRefusesDisorder) {
    ExtentSet set;
    set.append({100, 0});
    EXPECT_TRUE(set.empty());
    set.append({100, 10});
    set.append({110, 10}); // touches
    set.append({105, 1});  // lies within
    set.append({115, 10}); // overlaps
    EXPECT_EQ(set.to_vector(), (std::vector<Range>{{100, 25}}));
    set.append({200, 5});
    EXPECT_EQ(set.to_vector(), (std::vector<Range>{{100, 25}, {200, 5}}));
    EXPECT_THROW(set.append({199, 1}), std::logic_error);
    EXPECT_THROW(set.append({300, std::numeric_limits<std::uint64_t>::max()}), std::logic_error);
    EXPECT_EQ(set.to_vector(), (std::vector<Range>{{100, 25}, {200, 5}}));
}

TEST(ExtentSet, RefusesToGoBeyondTheLargestOffset) {
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    EXPECT_THROW(ExtentSet(Range{most - 10, 5}).shifted(20), std::logic_error);
    EXPECT_THROW(ExtentSet(Range{most - 10, 5}).rounded_outward(4096), std::logic_error);
    EXPECT_TRUE(ExtentSet(Range{most - 10, 5}).rounded_inward(4096).empty());
}

TEST(ExtentSet, FragmentedDiskTakesTwoBytesARange) {
    constexpr std::size_t pieces = 2'000'000; // of 4 KiB, every second one
    ExtentSet set;
    for (std::uint64_t i = 0; i < pieces; ++i)
        set.append({i * 8 * KiB, 4 * KiB});
    EXPECT_EQ(set.count(), pieces);
    EXPECT_EQ(set.total(), pieces * 4 * KiB);
    EXPECT_EQ(set.memory(), 2 * pieces);

    const ExtentSet rest = set.complement({0, pieces * 8 * KiB});
    EXPECT_EQ(rest.count(), pieces);
    EXPECT_EQ(rest.memory(), 2 * pieces);
    EXPECT_TRUE(set.intersect(rest).empty());
    EXPECT_EQ(set.unite(rest), ExtentSet(Range{0, pieces * 8 * KiB}));
    EXPECT_TRUE(set.rounded_inward(64 * KiB).empty());
}

} // namespace
} // namespace disktool
