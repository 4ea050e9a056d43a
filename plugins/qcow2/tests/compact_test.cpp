// SPDX-License-Identifier: LGPL-2.1-or-later
#include "changed_images.h"
#include "free_rule.h"
#include "free_step.h"
#include "refcounts.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {

namespace {

class RandomCompact : public testing::TestWithParam<Recipe> {};

TEST_P(RandomCompact, FreesWhatIsFreeAndNothingElse) {
    for (std::uint32_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(seed);
        const TemporaryFolder folder;
        const std::string path = make_random_image(folder, GetParam(), seed);
        ASSERT_EQ(qemu_check(path), (Verdict{0, 0}));
        const ExtentSet discardable = random_ranges(GetParam().size, seed * 7);
        const Bytes before = content_by_qemu(path);
        std::map<std::string, Bytes> snapshots;
        const std::vector<SnapshotInfo> names = open(path)->info().snapshots;
        for (const SnapshotInfo& snapshot : names) {
            snapshots[snapshot.name] = content_by_qemu(path, snapshot.name);
        }
        const std::uint64_t allocated_before = allocated(path);
        const std::uint64_t length_before = std::filesystem::file_size(path);

        TestContext context;
        const CompactEstimate estimate = compact(path, discardable, context);

        EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
        EXPECT_EQ(difference(before, content_by_qemu(path), discardable), std::nullopt);
        EXPECT_EQ(difference(before, content(path), discardable), std::nullopt);
        EXPECT_EQ(estimate.allocated, allocated_before);
        const std::uint64_t given_back = allocated_before - allocated(path);
        // More is possible: blocks that were reserved and never written are not seen beforehand.
        EXPECT_GE(given_back + 8192, estimate.reclaimable);
        EXPECT_EQ(context.figures["clusters_discarded"], estimate.clusters);
        EXPECT_LE(std::filesystem::file_size(path), length_before);
        EXPECT_TRUE(nothing_left(path, discardable));
        for (const auto& [name, bytes] : snapshots) {
            EXPECT_EQ(difference(bytes, content_by_qemu(path, name), {}), std::nullopt) << name;
        }
        if (GetParam().snapshots) {
            EXPECT_GT(estimate.shared, 0u);
            continue; // some stay
        }
        EXPECT_EQ(estimate.shared, 0u);
        auto image = open(path);
        const std::uint64_t unit = image->metadata().header().cluster_size();
        for (const Range& range : whole_clusters(image->metadata().header(), discardable)) {
            for (std::uint64_t at = range.offset; at < range.end(); at += unit) {
                EXPECT_TRUE(host_range(image->metadata().entry(at / unit), unit).empty()) << at;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    , RandomCompact,
    testing::Values(
        Recipe{"cluster512", "cluster_size=512"}, Recipe{"cluster4k", "cluster_size=4k"},
        Recipe{"cluster64k", "cluster_size=64k"},
        Recipe{.name = "cluster2M", .options = "cluster_size=2M", .size = 16 << 20},
        Recipe{"version2", "compat=0.10,cluster_size=4k"},
        Recipe{"subclusters", "extended_l2=on,cluster_size=16k"},
        Recipe{"refcount1", "refcount_bits=1,cluster_size=1k"},
        Recipe{"refcount8", "refcount_bits=8,cluster_size=4k"},
        Recipe{"refcount64", "refcount_bits=64,cluster_size=512"},
        Recipe{"preallocated", "preallocation=metadata,cluster_size=4k"},
        Recipe{.name = "compressed", .options = "cluster_size=4k", .compressed = true},
        Recipe{.name = "zstd64k", .options = "compression_type=zstd", .compressed = true},
        Recipe{.name = "snapshots", .options = "cluster_size=4k", .snapshots = true},
        Recipe{.name = "snapshots_compressed",
               .options = "cluster_size=4k",
               .compressed = true,
               .snapshots = true},
        Recipe{.name = "backing", .options = "cluster_size=4k", .backing = true},
        Recipe{.name = "backing_subclusters", .options = "extended_l2=on,cluster_size=16k", .backing = true}),
    [](const auto& recipe) { return recipe.param.name; });

class Compact : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
};

TEST_F(Compact, FreedClustersOverABackingFileReadAsZeros) {
    const Recipe recipe{.name = "", .options = "cluster_size=4k", .backing = true};
    make_random_image(folder, recipe, 1);
    qemu_io(path, {"write -q -P 1 0 1M"});
    compact(path, ExtentSet({0, 1 << 20}));
    const Bytes after = content_by_qemu(path);
    EXPECT_TRUE(
        std::all_of(after.begin(), after.begin() + (1 << 20), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(Compact, TheEndOfTheDiskEndsItsLastCluster) {
    create(path, "cluster_size=64k", "1049088"); // 16 clusters and a sector
    qemu_io(path, {"write -q -P 1 0 1049088"});
    EXPECT_EQ(compact(path, ExtentSet({1 << 20, 512})).clusters, 1u);
    EXPECT_EQ(compact(path, ExtentSet({0, 512})).clusters, 0u);
}

TEST_F(Compact, SnapshotsKeepTheirClusters) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 2M"});
    run_tool({"qemu-img", "snapshot", "-c", "before", path});
    qemu_io(path, {"write -q -P 2 1M 2M"});
    const CompactEstimate estimate = compact(path, ExtentSet({0, 4 << 20}));
    EXPECT_EQ(estimate.shared, 1u << 20);
    EXPECT_EQ(estimate.clusters, 512u);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    run_tool({"qemu-img", "snapshot", "-a", "before", path});
    const Bytes after = content_by_qemu(path);
    EXPECT_TRUE(
        std::all_of(after.begin(), after.begin() + (2 << 20), [](std::byte b) { return b == std::byte{1}; }));
}

TEST_F(Compact, BitmapsStayWhatTheyAre) {
    create(path, "cluster_size=64k", "64M");
    run_tool({"qemu-img", "bitmap", "--add", path, "backup"});
    qemu_io(path, {"write -q -P 1 0 32M"});
    const auto bitmap = [&] { return run_tool({"qemu-img", "info", "--output=json", path}); };
    const auto details = [&] { return nlohmann::json::parse(bitmap())["format-specific"]["data"]["bitmaps"]; };
    const auto before = details();
    EXPECT_EQ(compact(path, ExtentSet({0, 16 << 20})).clusters, 256u);
    EXPECT_EQ(details(), before);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_TRUE(nothing_left(path, ExtentSet({0, 16 << 20})));
}

TEST_F(Compact, AnEmptyTailIsCutOff) {
    create(path, "cluster_size=64k", "64M");
    qemu_io(path, {"write -q -P 1 0 32M"});
    compact(path, ExtentSet({8 << 20, 56 << 20}));
    EXPECT_LT(std::filesystem::file_size(path), 9u << 20);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(Compact, PlanningChangesNothing) {
    create(path, "cluster_size=64k", "64M");
    qemu_io(path, {"write -q -P 1 0 32M"});
    const std::string before = disktool::test::read_file(path);
    auto image = open_for_writing(path);
    Plan plan("compact", path);
    const CompactEstimate estimate = image->plan_compact(plan, ExtentSet({0, 16 << 20}));
    ASSERT_EQ(plan.steps().size(), 1u);
    EXPECT_EQ(plan.steps()[0]->kind(), "qcow2.free-clusters");
    EXPECT_EQ(plan.steps()[0]->text(), "discard 256 clusters of 64 KiB (16 MiB) that hold only free space");
    EXPECT_EQ(plan.steps()[0]->cost().discarded, 16u << 20);
    EXPECT_EQ(estimate.reclaimable, 16u << 20);
    EXPECT_EQ(image->estimate_compact(ExtentSet({0, 16 << 20})).reclaimable, 16u << 20);
    EXPECT_EQ(disktool::test::read_file(path), before);
}

TEST_F(Compact, AllPlannedWorkIsReportedDone) {
    create(path, "cluster_size=64k", "64M");
    qemu_io(path, {"write -q -P 1 0 32M"});
    auto image = open_for_writing(path);
    Plan plan("compact", path);
    image->plan_compact(plan, ExtentSet({1 << 20, 40 << 20}));
    TestContext context;
    carry_out(plan, context);
    EXPECT_EQ(context.advanced, plan.cost().work());
    EXPECT_NEAR(static_cast<double>(context.figures["bytes_freed"]), 31 << 20, 8192);
}

TEST_F(Compact, StoppedBetweenTwoHolesItCanBeFinishedLater) {
    create(path, "cluster_size=64k", "64M");
    qemu_io(path, {"write -q -P 1 0 32M"});
    ExtentSet discardable;
    for (std::uint64_t at = 0; at < 32; at += 2) {
        discardable.append({at << 20, 1 << 20});
    }
    TestContext context;
    context.cancel_after = 3 << 20;
    EXPECT_EQ(error_of([&] { compact(path, discardable, context); }).code(), ErrorCode::interrupted);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_FALSE(nothing_left(path, {}));
    const CompactEstimate rest = compact(path, discardable);
    EXPECT_EQ(rest.clusters, 0u);
    EXPECT_GT(rest.reclaimable, 8u << 20);
    EXPECT_TRUE(nothing_left(path, discardable));
}

TEST_F(Compact, AnImageWithMissingRefcountsIsRefused) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    auto image = open_for_writing(path);
    const std::uint64_t host = image->metadata().entry(3).host_offset;
    Refcounts(image->file(), image->metadata().header(), image->metadata().file_size())
        .lower({host / image->metadata().header().cluster_size()});
    Plan plan("compact", path);
    const Error error = error_of([&] { image->plan_compact(plan, ExtentSet({2 << 20, 1 << 20})); });
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(host)));
}

TEST_F(Compact, UnknownAutoclearFeaturesAreClearedAndTheirClustersKept) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    patch<std::uint64_t>(path, field::autoclear_features, 1ull << 40);
    const CompactEstimate estimate = compact(path, ExtentSet({0, 1 << 19}));
    EXPECT_EQ(estimate.clusters, 128u);
    EXPECT_EQ(peek<std::uint64_t>(path, field::autoclear_features), 0u);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(Compact, AThinTebibyteIsEstimated) {
    create(path, "cluster_size=64k", "1T");
    qemu_io(path, {"write -q -P 1 0 64k", "write -q -P 2 500G 1M", "write -q -P 3 1023G 64k"});
    EXPECT_EQ(open(path)->estimate_compact(ExtentSet({0, 1ull << 40})).clusters, 18u);
}

} // namespace

} // namespace disktool::qcow2::test
