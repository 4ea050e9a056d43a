// SPDX-License-Identifier: LGPL-2.1-or-later
#include "changed_images.h"
#include "support/recording_door.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {

namespace {

/// Bytes that are nowhere else.
Patch make_patch(std::uint64_t offset, std::size_t length) {
    Patch patch{offset, Bytes(length)};
    for (std::size_t i = 0; i < length; ++i) {
        patch.data[i] = static_cast<std::byte>(offset + i * 7 + 3);
    }
    return patch;
}

/// What a GPT asks for: the start, and the backup at the new end.
ResizeRequest table_request(std::uint64_t new_size) {
    return {new_size, {make_patch(0, 1024), make_patch(new_size - 33 * 512, 33 * 512)}};
}

Bytes expected(Bytes content, const ResizeRequest& request) {
    content.resize(request.new_size);
    for (const Patch& patch : request.patches) {
        std::copy(patch.data.begin(), patch.data.end(), content.begin() + patch.offset);
    }
    return content;
}

class RandomGrow : public testing::TestWithParam<Recipe> {};

TEST_P(RandomGrow, TheOldDiskWithThePatchesAndZerosBehind) {
    std::mt19937 random(1);
    for (std::uint32_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(seed);
        const TemporaryFolder folder;
        const std::string path = make_random_image(folder, GetParam(), seed);
        Bytes content_now = content_by_qemu(path);
        for (int round = 0; round < 3; ++round) {
            SCOPED_TRACE(round);
            const std::uint64_t new_size = content_now.size() + (1 + random() % 5000) * 512;
            ResizeRequest request = table_request(new_size);
            if (round == 1) {
                request.patches.clear();
            }
            TestContext context;
            grow(path, request, context);
            EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
            content_now = expected(content_now, request);
            EXPECT_EQ(difference(content_now, content_by_qemu(path), {}), std::nullopt);
            EXPECT_EQ(difference(content_now, content(path), {}), std::nullopt);
            EXPECT_TRUE(context.warnings.empty());
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    , RandomGrow,
    testing::Values(
        Recipe{"cluster512", "cluster_size=512"},
        Recipe{.name = "unaligned", .options = "cluster_size=64k", .size = (3 << 20) + 512 * 5},
        Recipe{"cluster2M", "cluster_size=2M"}, Recipe{"version2", "compat=0.10,cluster_size=4k"},
        Recipe{"subclusters", "extended_l2=on,cluster_size=16k"},
        Recipe{"refcount1", "refcount_bits=1,cluster_size=512"},
        Recipe{"refcount64", "refcount_bits=64,cluster_size=512"},
        Recipe{"preallocated", "preallocation=metadata,cluster_size=4k"},
        Recipe{.name = "compressed", .options = "cluster_size=4k", .compressed = true},
        Recipe{.name = "backing", .options = "cluster_size=4k", .backing = true, .size = (2 << 20) + 512 * 3},
        Recipe{.name = "backing_subclusters",
               .options = "extended_l2=on,cluster_size=16k",
               .backing = true,
               .size = (2 << 20) + 512 * 3}),
    [](const auto& recipe) { return recipe.param.name; });

class Grow : public testing::Test {
  protected:
    void grow_to(const ResizeRequest& request) {
        TestContext context;
        grow(path, request, context);
    }
    Header header() { return open(path)->metadata().header(); }

    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
};

TEST_F(Grow, WithoutPatchesAndWithRoomInL1OnlyTheHeaderIsWritten) {
    create(path, "cluster_size=64k", "1M");
    const std::uint64_t length = std::filesystem::file_size(path);
    auto image = open_for_writing(path);
    Plan plan("resize", path);
    image->plan_resize(plan, {300 << 20, {}});
    ASSERT_EQ(plan.steps().size(), 1u);
    EXPECT_EQ(plan.steps()[0]->text(), "grow the disk from 1 MiB to 300 MiB");
    EXPECT_EQ(plan.cost().space, 0u);
    TestContext context;
    carry_out(plan, context);
    EXPECT_EQ(context.advanced, plan.cost().work());
    EXPECT_EQ(header().virtual_size, 300u << 20);
    EXPECT_EQ(std::filesystem::file_size(path), length);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(Grow, EqualSizeIsNoStep) {
    create(path, "cluster_size=64k", "1M");
    auto image = open_for_writing(path);
    Plan plan("resize", path);
    image->plan_resize(plan, {1 << 20, {}});
    EXPECT_TRUE(plan.empty());
}

TEST_F(Grow, TheL1TableMovesWhenItIsTooSmall) {
    create(path, "cluster_size=512", "32k");
    qemu_io(path, {"write -q -P 1 0 32k"});
    const Header before = header();
    grow_to(table_request(8 << 20));
    EXPECT_NE(header().l1_offset, before.l1_offset);
    EXPECT_EQ(header().l1_size, 256u);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(Grow, TheRefcountTableMovesWhenItIsFull) {
    // A block counts 64 clusters of 512 bytes, a table of one cluster holds 64 blocks: 2 MiB of file.
    create(path, "cluster_size=512,refcount_bits=64", "1900k");
    qemu_io(path, {"write -q -P 1 0 1900k"});
    Bytes now = content_by_qemu(path);
    const Header before = header();
    ResizeRequest request{4 << 20, {make_patch(0, 400 << 10), make_patch(3 << 20, 300 << 10)}};
    grow_to(request);
    EXPECT_NE(header().refcount_table_offset, before.refcount_table_offset);
    EXPECT_GT(header().refcount_table_clusters, before.refcount_table_clusters);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_EQ(difference(expected(now, request), content_by_qemu(path), {}), std::nullopt);
    EXPECT_TRUE(nothing_left(path, {}));
}

TEST_F(Grow, ReplacedClustersAreGivenBack) {
    create(path, "cluster_size=64k", "64M");
    qemu_io(path, {"write -q -P 1 0 63M"}); // not all of it: a plain image would stay plain
    const std::uint64_t before = allocated(path);
    grow_to({65 << 20, {make_patch(0, 8 << 20)}});
    EXPECT_NEAR(static_cast<double>(allocated(path)), static_cast<double>(before), 300 << 10);
    EXPECT_TRUE(nothing_left(path, {}));
}

TEST_F(Grow, AQemuThatFollowsFindsAUsableImage) {
    create(path, "cluster_size=4k", "1M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    grow_to(table_request(5 << 20));
    qemu_io(path, {"write -q -P 2 512k 4M", "read -q -P 2 512k 4M"});
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(Grow, WhatAShrinkLeftBehindTheEndIsNotShown) {
    for (const std::uint64_t size : {500 * 512, 512 * 512}) { // within a cluster, and at the end of one
        SCOPED_TRACE(size);
        std::filesystem::remove(path);
        create(path, "cluster_size=64k", "1M");
        qemu_io(path, {"write -q -P 1 0 1M"});
        // The size alone is changed: entries and the rest of the last cluster stay.
        patch<std::uint64_t>(path, field::virtual_size, size);
        grow_to({1 << 20, {}});
        const Bytes now = content_by_qemu(path);
        EXPECT_EQ(now[size - 1], std::byte{1});
        EXPECT_TRUE(std::all_of(now.begin() + size, now.end(), [](std::byte b) { return b == std::byte{0}; }));
        EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
        EXPECT_TRUE(nothing_left(path, {}));
    }
}

TEST_F(Grow, Version2WithALargerBackingFileShowsZeros) {
    make_random_image(folder, {.name = "", .options = "compat=0.10,cluster_size=4k", .backing = true}, 1);
    const Bytes before = content_by_qemu(path);
    const ResizeRequest request = table_request(5 << 20);
    grow_to(request);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_EQ(difference(expected(before, request), content_by_qemu(path), {}), std::nullopt);
}

TEST_F(Grow, SnapshotsForbidAnotherSize) {
    create(path, "cluster_size=4k", "1M");
    run_tool({"qemu-img", "snapshot", "-c", "before", path});
    for (const std::uint64_t size : {512 << 10, 2 << 20}) {
        const Error error = error_of([&] { grow_to({size, {}}); });
        EXPECT_EQ(error.reason(), Reason::internal_snapshots);
        EXPECT_THAT(error.what(), testing::HasSubstr("prl_disk_tool merge --hdd " + path));
    }
}

TEST_F(Grow, TheLargestSizeIsNamed) {
    create(path, "cluster_size=512", "1M");
    const Error error = error_of([&] { grow_to({1ull << 40, {}}); });
    EXPECT_EQ(error.code(), ErrorCode::size_impossible);
    EXPECT_EQ(error.reason(), Reason::size_too_large);
    EXPECT_THAT(error.what(), testing::HasSubstr("128 GiB (137438953472 bytes)"));
    grow_to({128ull << 30, {}});
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_EQ(header().virtual_size, 128ull << 30);
}

TEST_F(Grow, TooLittleRoomOnTheHostIsSaidBeforeAnythingIsDone) {
    create(path, "cluster_size=64k", "1M");
    class FullHost : public disktool::test::RecordingDoor {
      public:
        using RecordingDoor::RecordingDoor;
        std::uint64_t free_space(const std::string&) override { return 100'000; }
    } door(folder.path());
    TestContext context({door, real_doors().processes});
    const Error error = error_of([&] { grow(path, table_request(2 << 20), context); });
    EXPECT_EQ(error.code(), ErrorCode::no_space);
    EXPECT_TRUE(door.changes().empty());
}

TEST_F(Grow, ARefcountBeyondAnyPossibleFileIsDamage) {
    create(path, "cluster_size=2M,refcount_bits=1", "1M");
    const std::uint64_t table = header().refcount_table_offset;
    const std::uint64_t block = peek<std::uint64_t>(path, table);
    // One more block, in a cluster of its own that is counted, for the last clusters that a table can count.
    const std::uint64_t place = round_up(std::filesystem::file_size(path), 2 << 20);
    std::filesystem::resize_file(path, place + (2 << 20));
    patch<std::uint8_t>(path, block + place / (2 << 20) / 8, 0xff);
    patch<std::uint64_t>(path, table + (2 << 20) - 8, place);
    patch<std::uint8_t>(path, place, 1);
    const Error error = error_of([&] { grow_to(table_request(2 << 20)); });
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_THAT(error.what(), testing::HasSubstr("beyond what a file can be"));
}

} // namespace

} // namespace disktool::qcow2::test
