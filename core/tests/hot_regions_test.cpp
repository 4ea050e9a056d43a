// SPDX-License-Identifier: LGPL-2.1-or-later
// What the host's cache is told of.
#include "device/hot_regions.h"
#include "pages.h"

#include <chrono>
#include <random>
#include <thread>

namespace disktool::pages_test {
namespace {

using Heat = HotRegions::Heat;

TEST(HotRegions, SeveralReadsOfOneMakeItHot) {
    constexpr std::uint64_t region = HotRegions::region;
    HotRegions regions;
    for (unsigned i = 1; i < HotRegions::enough; ++i) { // by turns, in two regions and two files
        EXPECT_EQ(regions.read(5, 7 * region + i * page), Heat::cold) << i;
        EXPECT_EQ(regions.read(5, 8 * region), Heat::cold) << i;
        EXPECT_EQ(regions.read(6, 7 * region), Heat::cold) << i;
    }
    EXPECT_EQ(regions.read(5, 8 * region - 1), Heat::fetch);
    EXPECT_EQ(regions.read(6, 7 * region), Heat::fetch);
    for (unsigned i = 0; i < 1000; ++i) {
        EXPECT_EQ(regions.read(5, 7 * region), Heat::hot) << "told once";
    }
    EXPECT_EQ(regions.read(5, 8 * region), Heat::fetch);
}

TEST(HotRegions, AnotherOneGetsThePlaceOfOneThatIsReadNoMore) {
    constexpr std::uint64_t far = 4096 * HotRegions::region;
    HotRegions regions;
    for (unsigned i = 0; i < 100; ++i) {
        regions.read(5, 0);
    }
    EXPECT_EQ(regions.read(5, far), Heat::cold);
    EXPECT_EQ(regions.read(5, 0), Heat::hot) << "for one read of another";
    unsigned reads = 0;
    while (regions.read(5, far) != Heat::fetch && reads < 100) {
        ++reads;
    }
    EXPECT_LT(reads, 20U);
    EXPECT_EQ(regions.read(5, far), Heat::hot);
    EXPECT_EQ(regions.read(5, 0), Heat::cold);
}

TEST(HotRegions, OneThatIsNotInTheCacheAnyMoreIsFetchedAgain) {
    HotRegions regions;
    EXPECT_FALSE(regions.missed(5, 0)) << "it was never read";
    for (unsigned i = 0; i < 100; ++i) {
        regions.read(5, 0);
    }
    EXPECT_FALSE(regions.missed(6, 0)) << "another file";
    EXPECT_TRUE(regions.missed(5, 0));
    unsigned fetched = 0;
    for (unsigned i = 0; i < 100; ++i) {
        EXPECT_EQ(regions.read(5, 0), Heat::hot);
        fetched += regions.missed(5, 0) ? 1 : 0;
    }
    EXPECT_GE(fetched, 20U);
    EXPECT_LE(fetched, 34U) << "not for each read: a host that is short of memory does not keep it";
}

TEST(HotRegions, ReadsScatteredOverALargeDiskMakeNone) {
    HotRegions regions;
    std::mt19937_64 random(3);
    unsigned hot = 0;
    for (unsigned i = 0; i < 200'000; ++i) {
        hot += regions.read(5, random() % (std::uint64_t{1} << 40)) != Heat::cold ? 1U : 0U; // 1 TiB
    }
    EXPECT_LT(hot, 20U);
}

TEST_F(PagesTest, AFetchedRegionComesIntoTheCache) {
    ASSERT_FALSE(in_cache(2 * HotRegions::region));
    fetch_region(cached_.get(), 2 * HotRegions::region + 5 * page);
    const auto there = [&] {
        return in_cache(2 * HotRegions::region) && in_cache(3 * HotRegions::region - page);
    };
    for (int i = 0; i < 1000 && !there(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_TRUE(there());
    EXPECT_FALSE(in_cache(HotRegions::region)) << "another one";
    fetch_region(-1, 0); // nothing to be told
}

} // namespace
} // namespace disktool::pages_test
