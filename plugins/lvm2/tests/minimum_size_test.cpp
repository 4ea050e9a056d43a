// SPDX-License-Identifier: LGPL-2.1-or-later
// The minimum against pvresize: it takes that size and refuses one extent less.
#include "made_group.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::lvm2::test {

namespace dt = disktool::test;

struct MinimumCase {
    const char* name;
    const char* physical;
    const char* group;
    std::uint64_t size;
    int extents; ///< of the one volume; 0: none
};

class MinimumOf : public testing::TestWithParam<MinimumCase> {};

TEST_P(MinimumOf, IsWhatPvresizeTakes) {
    MadeGroup made({GetParam().size});
    made.create(GetParam().physical, GetParam().group);
    if (GetParam().extents > 0)
        made.volume("a", GetParam().extents);
    MinimumSize minimum;
    std::uint64_t extent = 0;
    {
        Opened opened(made.path());
        minimum = opened->minimum_size();
        extent = opened->extent_size();
        EXPECT_EQ(minimum.reason, Reason::used_blocks);
        EXPECT_LE(minimum.bytes, opened->usage().size);
    }
    EXPECT_EQ(minimum.bytes % 512, 0u);
    EXPECT_FALSE(made.lvm_takes(
        fmt::format("pvresize -y --setphysicalvolumesize {}b @", minimum.bytes - std::min(extent, MiB))));
    made.lvm(fmt::format("pvresize -y --setphysicalvolumesize {}b @", minimum.bytes));
    EXPECT_TRUE(made.lvm_takes("vgck vg"));

    // The file cut there is still a physical volume for LVM, and there is nothing left to take from it.
    dt::run_tool({"blockdev", "--flushbufs", made.loop()});
    dt::run_tool({"truncate", "-s", std::to_string(minimum.bytes), made.path()});
    dt::run_tool({"losetup", "--set-capacity", made.loop()});
    EXPECT_TRUE(made.lvm_takes("vgck vg"));
    EXPECT_EQ(made.field("pvs", "pv_missing"), "");
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_EQ(opened->minimum_size().bytes, minimum.bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, MinimumOf,
    testing::Values(
        MinimumCase{"plain", "", "-s 1M", 64 * MiB, 17}, MinimumCase{"empty_group", "", "-s 1M", 64 * MiB, 0},
        MinimumCase{"small_extents", "", "-s 64K", 64 * MiB, 123},
        MinimumCase{"tiny", "--metadatasize 64K --dataalignment 64K", "-s 64K", 64 * MiB, 3},
        MinimumCase{"large_extents", "", "-s 16M", 256 * MiB, 5},
        MinimumCase{"two_copies", "--pvmetadatacopies 2", "-s 1M", 64 * MiB, 17},
        MinimumCase{"two_copies_4m", "--pvmetadatacopies 2", "-s 4M", 66 * MiB, 7},
        MinimumCase{"two_copies_odd_size", "--pvmetadatacopies 2", "-s 1M", 64 * MiB + 77 * 512, 17},
        MinimumCase{"two_copies_large", "--pvmetadatacopies 2 --metadatasize 3000K", "-s 1M", 64 * MiB, 17},
        MinimumCase{"two_copies_small_extents", "--pvmetadatacopies 2", "-s 64K", 64 * MiB, 123}),
    [](const auto& test) { return test.param.name; });

TEST(Minimum, HolesInTheMiddleDoNotCount) {
    MadeGroup made({64 * MiB});
    made.create();
    made.volume("a", 5);
    made.volume("b", 5);
    made.lvm("lvremove -y vg/a");
    EXPECT_EQ(Opened(made.path())->minimum_size().bytes, 11 * MiB);
}

TEST(Minimum, IsTheSizeWhereLvmRefuses) {
    MadeGroup made({64 * MiB});
    made.create();
    made.volume("a", 5);
    made.lvm("vgexport vg");
    EXPECT_FALSE(made.lvm_takes("pvresize -y --setphysicalvolumesize 32M @"));
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean());
    EXPECT_EQ(opened->minimum_size().reason, Reason::filesystem_cannot_shrink);
    EXPECT_EQ(opened->minimum_size().bytes, opened->usage().size);
    EXPECT_FALSE(opened["vg/a"].resizable);
    EXPECT_NE(opened["vg/a"].device, nullptr);
    EXPECT_EQ(opened->free_extents().total(), 58 * MiB);
}

} // namespace disktool::lvm2::test
