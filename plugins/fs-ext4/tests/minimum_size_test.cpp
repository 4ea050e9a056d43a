// SPDX-License-Identifier: LGPL-2.1-or-later
// The minimum against resize2fs: it must take our number, and refuse one block less.
#include "made_filesystem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::ext4::test {

namespace dt = disktool::test;

namespace {

std::uint64_t told_by_resize2fs(const std::string& path) {
    const std::string output = dt::run_tool({"resize2fs", "-P", path});
    return std::stoull(output.substr(output.rfind(':') + 1));
}

std::uint64_t minimum_blocks(const std::string& path) {
    Opened opened(path);
    const MinimumSize minimum = opened->minimum_size();
    const std::uint64_t block = opened->usage().block_size;
    EXPECT_EQ(minimum.bytes % block, 0u);
    return minimum.bytes / block;
}

} // namespace

class MinimumSizes : public testing::TestWithParam<Recipe> {};

TEST_P(MinimumSizes, IsWhatResize2fsTakes) {
    MadeFilesystem made(GetParam(), 300);
    ASSERT_TRUE(fsck_clean(made.path()));
    EXPECT_EQ(Opened(made.path())->can_shrink(), Reason::none);
    const std::uint64_t minimum = minimum_blocks(made.path());
    EXPECT_EQ(minimum, told_by_resize2fs(made.path()));
    ASSERT_LT(minimum, std::stoull(made.header("Block count")));
    EXPECT_EQ(Opened(made.path())->minimum_size().reason, Reason::used_blocks);

    dt::exit_status_of({"e2fsck", "-fy", made.path()}); // resize2fs demands one just before
    const CommandResult refused = dt::result_of({"resize2fs", made.path(), std::to_string(minimum - 1)});
    EXPECT_NE(refused.errors.find("smaller than minimum"), std::string::npos) << refused.errors;
    dt::run_tool({"resize2fs", made.path(), std::to_string(minimum)});
    EXPECT_TRUE(fsck_clean(made.path()));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, MinimumSizes,
    testing::Values(Recipe{"ext2_1k", 40000, "-t ext2 -b 1024"}, Recipe{"ext2_4k", 300000, "-t ext2 -b 4096"},
                    Recipe{"ext2_1k_tiny_groups", 60000, "-t ext2 -b 1024 -g 1024"},
                    Recipe{"ext3_1k", 60000, "-t ext3 -b 1024"}, Recipe{"ext3_4k", 300000, "-t ext3 -b 4096"},
                    Recipe{"ext4_default", 300000, "-t ext4"}, Recipe{"ext4_1k", 100000, "-t ext4 -b 1024"},
                    Recipe{"ext4_2k", 200000, "-t ext4 -b 2048"}, Recipe{"ext4_4k", 300000, "-t ext4 -b 4096"},
                    Recipe{"ext4_no_flex_bg", 100000, "-t ext4 -b 1024 -O ^flex_bg"},
                    Recipe{"ext4_flex_2", 100000, "-t ext4 -b 1024 -G 2"},
                    Recipe{"ext4_flex_4", 100000, "-t ext4 -b 1024 -G 4"},
                    Recipe{"ext4_flex_64", 300000, "-t ext4 -b 1024 -G 64"},
                    Recipe{"ext4_flex_256_many_inodes", 500000, "-t ext4 -b 1024 -G 256 -i 4096"},
                    Recipe{"ext4_tiny_groups", 100000, "-t ext4 -b 1024 -g 1024 -G 8"},
                    Recipe{"ext4_no_resize_inode", 100000, "-t ext4 -b 1024 -O ^resize_inode"},
                    Recipe{"ext4_all_backups", 100000, "-t ext4 -b 1024 -O ^sparse_super,^resize_inode"},
                    Recipe{"ext4_sparse_super2", 100000, "-t ext4 -b 1024 -O sparse_super2"},
                    Recipe{"ext4_meta_bg", 100000, "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode"},
                    Recipe{"ext4_32_bit", 100000, "-t ext4 -b 1024 -O ^64bit"},
                    Recipe{"ext4_no_extents", 100000, "-t ext4 -b 1024 -O ^extent,^64bit"},
                    Recipe{"ext4_no_journal", 100000, "-t ext4 -b 1024 -O ^has_journal"},
                    Recipe{"ext4_few_inodes", 100000, "-t ext4 -b 1024 -N 640"}),
    [](const auto& test) { return test.param.name; });

class ThinMinimumSizes : public testing::TestWithParam<Recipe> {};

// Too large to be resized in a test; the estimate alone is compared.
TEST_P(ThinMinimumSizes, IsWhatResize2fsPrints) {
    MadeFilesystem made(GetParam());
    EXPECT_EQ(minimum_blocks(made.path()), told_by_resize2fs(made.path()));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ThinMinimumSizes,
                         testing::Values(Recipe{"ext2_100g", 100 << 20, "-t ext2"},
                                         Recipe{"ext3_100g", 100 << 20, "-t ext3"},
                                         Recipe{"ext4_100g", 100 << 20, "-t ext4"},
                                         Recipe{"ext4_1k_20g", 20 << 20, "-t ext4 -b 1024"},
                                         Recipe{"ext4_100g_flex_64", 100 << 20, "-t ext4 -G 64"},
                                         Recipe{"ext4_100g_large_journal", 100 << 20, "-t ext4 -J size=2000"},
                                         Recipe{"ext4_1t", 1 << 30, "-t ext4"},
                                         Recipe{"ext4_1t_no_flex_bg", 1 << 30, "-t ext4 -O ^flex_bg"}),
                         [](const auto& test) { return test.param.name; });

TEST(MinimumSize, OfAFullOneIsItsSize) {
    MadeFilesystem made({"full", 64, "-t ext2 -b 1024 -N 16"});
    const std::string file = made.beside("file");
    const std::uint64_t free = Opened(made.path())->usage().free;
    dt::write_file(file, std::string(free - 1024, 'x')); // and a block that lists its blocks
    made.debugfs(fmt::format("write {} file", file));
    ASSERT_TRUE(fsck_clean(made.path()));
    Opened opened(made.path());
    ASSERT_EQ(opened->usage().free, 0u);
    EXPECT_TRUE(opened->free_extents().empty());
    const MinimumSize minimum = opened->minimum_size();
    EXPECT_EQ(minimum.reason, Reason::filesystem_full_to_size);
    EXPECT_EQ(minimum.bytes, made.size());
    EXPECT_EQ(told_by_resize2fs(made.path()), 64u);
}

TEST(MinimumSize, WhatResize2fsWouldNotDoIsSaid) {
    for (const auto& [options, grow, shrink, word] :
         {std::tuple{"-t ext4 -O bigalloc", Reason::feature_not_supported, Reason::feature_not_supported,
                     "bigalloc"},
          std::tuple{"-t ext4 -O stable_inodes", Reason::none, Reason::filesystem_cannot_shrink,
                     "stable_inodes"},
          std::tuple{"-t ext4 -O sparse_super2,^flex_bg", Reason::none, Reason::filesystem_cannot_shrink,
                     "sparse_super2"}}) {
        MadeFilesystem made({"obstacle", 100000, options});
        Opened opened(made.path());
        EXPECT_EQ(opened->can_grow(), grow) << options;
        EXPECT_EQ(opened->can_shrink(), shrink) << options;
        const MinimumSize minimum = opened->minimum_size();
        EXPECT_EQ(minimum.bytes, opened->usage().size);
        EXPECT_EQ(minimum.reason, Reason::filesystem_cannot_shrink);
        EXPECT_NE(minimum.sentence.find(word), std::string::npos) << minimum.sentence;
    }
    for (const char* feature : {"read-only", "shared_blocks"}) {
        MadeFilesystem made({"obstacle", 100000, "-t ext4"});
        made.debugfs(fmt::format("feature {}", feature));
        Opened opened(made.path());
        EXPECT_EQ(opened->can_grow(), Reason::feature_not_supported) << feature;
        EXPECT_EQ(opened->can_shrink(), Reason::feature_not_supported) << feature;
    }
}

} // namespace disktool::ext4::test
