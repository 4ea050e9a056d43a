// SPDX-License-Identifier: LGPL-2.1-or-later
// The minimum is true: the kernel shrinks to it.
#include "made_filesystem.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

void fallocate(const Mounted& mounted, const std::string& name, std::uint64_t mib) {
    dt::run_tool({"fallocate", "-l", fmt::format("{}M", mib), mounted / name});
}

std::uint64_t told_by_btrfs(const MadeFilesystem& made) {
    const Mounted mounted(made);
    return std::stoull(dt::run_tool({"btrfs", "inspect-internal", "min-dev-size", mounted.point()}));
}

void expect_shrinks_to(const MadeFilesystem& made, std::uint64_t size) {
    const std::string before = digest_of_files(made, made.path());
    const std::string copy = made.copy("shrunk.img");
    {
        const Mounted mounted(copy, made.beside("mnt"), made.mount_options());
        const CommandResult result =
            dt::result_of({"btrfs", "filesystem", "resize", std::to_string(size), mounted.point()});
        EXPECT_EQ(result.exit_status, 0) << size << " of " << made.size() << ": " << result.errors;
    }
    std::filesystem::resize_file(copy, size);
    EXPECT_TRUE(check_clean(copy));
    EXPECT_EQ(before, digest_of_files(made, copy));
    EXPECT_EQ(Opened(copy)->usage().size, size);
}

} // namespace

class MinimumSizes : public testing::TestWithParam<Recipe> {};

// Files at the front, chunks behind that are in use a little, and holes between them.
TEST_P(MinimumSizes, IsWhatTheKernelTakes) {
    MadeFilesystem made(GetParam());
    const std::uint64_t mib = GetParam().mib / (GetParam().name == std::string("all_dup") ? 2 : 1);
    {
        const Mounted mounted(made);
        fallocate(mounted, "front", mib / 8);
        fallocate(mounted, "hole", mib / 5);
        dt::run_tool({"sync", "-f", mounted.point()});
        for (int i = 0; i < 8; ++i)
            fallocate(mounted, fmt::format("behind{}", i), mib / 100);
        dt::run_tool({"sync", "-f", mounted.point()});
        std::filesystem::remove(mounted / "hole");
        dt::run_tool({"sync", "-f", mounted.point()});
        // The kernel gives empty chunks back when it likes.
        dt::run_tool({"btrfs", "balance", "start", "-dusage=20", "-musage=20", mounted.point()});
    }
    made.fill(100);
    const MinimumSize minimum = Opened(made.path())->minimum_size();
    EXPECT_EQ(minimum.reason, Reason::used_blocks) << minimum.sentence;
    EXPECT_FALSE(minimum.sentence.empty());
    EXPECT_GE(minimum.bytes, 256 * MiB);
    ASSERT_LT(minimum.bytes, made.size());
    EXPECT_EQ(minimum.bytes % MiB, 0u);
    RecordProperty("minimum_mib", std::to_string(minimum.bytes / MiB));
    RecordProperty("btrfs_progs_mib", std::to_string(told_by_btrfs(made) / MiB));
    expect_shrinks_to(made, minimum.bytes);
    if (made.size() < 2 * GiB)
        expect_shrinks_to(made, round_down((minimum.bytes + made.size()) / 2, MiB));
}

INSTANTIATE_TEST_SUITE_P(Kinds, MinimumSizes,
                         testing::Values(Recipe{"small", 700}, Recipe{"gib_2", 2048}, Recipe{"gib_60", 61440},
                                         Recipe{"single", 1500, "-m single"}, Recipe{"all_dup", 8192, "-d dup"},
                                         Recipe{"mixed", 900, "--mixed"}, Recipe{"nodes_64k", 3000, "-n 64k"},
                                         Recipe{"old_cache", 3000, "-R ^free-space-tree",
                                                "noatime,space_cache=v1"}),
                         [](const auto& test) { return test.param.name; });

// Not one hole, but free space in most chunks: what a balance is for.
TEST(MinimumSize, HoldsAfterABalance) {
    MadeFilesystem made({"balanced", 3000});
    {
        const Mounted mounted(made);
        for (int i = 0; i < 20; ++i)
            fallocate(mounted, fmt::format("f{}", i), 100);
        dt::run_tool({"sync", "-f", mounted.point()});
        for (int i = 0; i < 20; ++i)
            if (i % 4 != 0)
                std::filesystem::remove(mounted / fmt::format("f{}", i));
        dt::run_tool({"btrfs", "balance", "start", "-dusage=50", mounted.point()});
    }
    const std::uint64_t minimum = Opened(made.path())->minimum_size().bytes;
    EXPECT_LT(minimum, 2000 * MiB);
    expect_shrinks_to(made, minimum);
}

TEST(MinimumSize, OfAFullOneIsItsSize) {
    MadeFilesystem made({"full", 400});
    {
        const Mounted mounted(made);
        dt::exit_status_of({"sh", "-c",
                            "fallocate -l 150M \"$0/a\"; head -c 400M /dev/zero > \"$0/b\"; sync -f \"$0\"",
                            mounted.point()});
    }
    Opened opened(made.path());
    const MinimumSize minimum = opened->minimum_size();
    EXPECT_EQ(minimum.reason, Reason::filesystem_full_to_size);
    EXPECT_EQ(minimum.bytes, made.size());
}

// A kernel law; what is smaller already stays as it is.
TEST(MinimumSize, IsNeverLessThanTheKernelTakes) {
    MadeFilesystem empty({"empty", 1024});
    EXPECT_EQ(Opened(empty.path())->minimum_size().bytes, 256 * MiB);
    expect_shrinks_to(empty, 256 * MiB);
    {
        const Mounted mounted(empty);
        EXPECT_NE(dt::exit_status_of({"btrfs", "filesystem", "resize", "255M", mounted.point()}), 0);
    }
    MadeFilesystem small({"small", 200, "-m single"});
    const MinimumSize minimum = Opened(small.path())->minimum_size();
    EXPECT_EQ(minimum.bytes, 200 * MiB);
    EXPECT_EQ(minimum.reason, Reason::filesystem_full_to_size);
}

// While all chunks together are larger than the new size, the kernel makes no new one, whatever holes there
// are.
TEST(MinimumSize, LeavesTheKernelRoomForNewChunks) {
    MadeFilesystem made({"far", 8192});
    {
        const Mounted mounted(made);
        dt::write_file(mounted / "file", std::string(5000000, 'x'));
        dt::run_tool({"btrfs", "balance", "start", "-m", mounted.point()}); // metadata go behind
    }
    const std::uint64_t minimum = Opened(made.path())->minimum_size().bytes;
    EXPECT_GT(minimum, 256 * MiB);
    EXPECT_LT(minimum, 2048 * MiB);
    expect_shrinks_to(made, minimum);
}

} // namespace disktool::btrfs::test
