// SPDX-License-Identifier: LGPL-2.1-or-later
#include "changed_images.h"
#include "mend.h"
#include "refcounts.h"

namespace disktool::qcow2::test {

namespace {

/// Sets the count of each cluster of the file, when `value` gives one.
void set_refcounts(
    Image& image,
    const std::function<std::optional<std::uint64_t>(std::uint64_t cluster, std::uint64_t count)>& value) {
    Refcounts refcounts(image.file(), image.metadata().header(), image.metadata().file_size());
    refcounts.visit_blocks([&](RefcountBlock& block) {
        for (std::uint64_t i = 0; i < block.size(); ++i) {
            if (const auto wanted = value(block.first_cluster() + i, block.get(i))) {
                block.set(i, *wanted);
            }
        }
    });
}

class Mend : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
};

TEST_F(Mend, LeaksAreGivenBackAndNothingElseChanges) {
    make_random_image(folder, {"", "cluster_size=4k"}, 5);
    const Bytes before = content_by_qemu(path);
    const std::uint64_t length = std::filesystem::file_size(path);
    // Leaked data in the middle, at the end and beyond it.
    std::filesystem::resize_file(path, round_up(length, 4096) + 16 * 4096);
    auto image = open_for_writing(path);
    Bytes garbage(16 * 4096, std::byte{0xaa});
    image->file().write(round_up(length, 4096), garbage);
    image->metadata().forget();
    const std::uint64_t clusters = image->metadata().file_size() / 4096;
    set_refcounts(*image, [&](std::uint64_t cluster, std::uint64_t count) -> std::optional<std::uint64_t> {
        return count == 0 && cluster < clusters + 5 ? std::optional<std::uint64_t>(3) : std::nullopt;
    });
    ASSERT_GE(qemu_check(path).leaks, 16u);
    const std::uint64_t allocated_before = allocated(path);

    mend(path);

    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_EQ(difference(before, content_by_qemu(path), {}), std::nullopt);
    EXPECT_LE(allocated(path) + 16 * 4096, allocated_before);
    EXPECT_LE(std::filesystem::file_size(path), round_up(length, 4096));
    EXPECT_TRUE(nothing_left(path, {}));
}

TEST_F(Mend, NothingToMendIsNoStep) {
    make_random_image(folder, {.name = "", .options = "cluster_size=4k", .snapshots = true}, 6);
    compact(path, {});
    auto image = open_for_writing(path);
    Plan plan("mend", path);
    image->plan_mend(plan);
    EXPECT_TRUE(plan.empty());
}

TEST_F(Mend, ClustersOfUnknownOwnersAreKept) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 1M", "write -q -P 2 1M 1M", "discard -q 1M 512k"});
    patch<std::uint64_t>(path, field::autoclear_features, 1ull << 40);
    auto image = open_for_writing(path);
    set_refcounts(*image, [&](std::uint64_t cluster, std::uint64_t count) -> std::optional<std::uint64_t> {
        return count == 0 && cluster == 300 ? std::optional<std::uint64_t>(1) : std::nullopt;
    });
    ASSERT_EQ(image->check().leaks, 1u);
    Plan plan("compact", path);
    image->plan_compact(plan, ExtentSet({0, 1 << 19}));
    ASSERT_FALSE(plan.notes().empty());
    EXPECT_NE(plan.notes()[0].find("unknown autoclear features"), std::string::npos);
    TestContext context;
    carry_out(plan, context);
    EXPECT_EQ(image->check().leaks, 1u);
    EXPECT_EQ(image->check().errors, 0u);
}

TEST_F(Mend, ALeakThatWouldNeedAFlagIsLeftAlone) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    run_tool({"qemu-img", "snapshot", "-c", "one", path});
    // A snapshot that is lost leaves refcounts of 2 without "copied" flags.
    patch<std::uint32_t>(path, field::snapshot_count, 0);
    const Verdict before = qemu_check(path);
    ASSERT_GT(before.leaks, 256u);
    mend(path);
    EXPECT_EQ(qemu_check(path).errors, 0u);
    EXPECT_TRUE(nothing_left(path, {}));
}

TEST_F(Mend, CheckAgreesWithQemu) {
    for (std::uint32_t seed = 1; seed <= 6; ++seed) {
        const TemporaryFolder own;
        const std::string disk = make_random_image(
            own, {.name = "", .options = "cluster_size=4k", .compressed = true, .snapshots = seed % 2 == 0},
            seed);
        auto image = open_for_writing(disk);
        std::mt19937 random(seed);
        const std::uint64_t clusters = divide_up(image->metadata().file_size(), 4096);
        set_refcounts(*image, [&](std::uint64_t cluster, std::uint64_t count) -> std::optional<std::uint64_t> {
            return cluster < clusters && random() % 16 == 0 ? std::optional(count + 1 + random() % 3)
                                                            : std::nullopt;
        });
        EXPECT_EQ(image->check().leaks, qemu_check(disk).leaks) << seed;
        EXPECT_EQ(image->check().errors, qemu_check(disk).errors) << seed;
    }
}

TEST_F(Mend, CheckCountsDamagedEntries) {
    create(path, "cluster_size=4k", "4M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    const std::uint64_t table = *open(path)->metadata().l2_offset(0);
    patch<std::uint64_t>(path, table + 8, (1ull << 63) + (1ull << 50));
    patch<std::uint64_t>(path, table + 16, (1ull << 63) + 512);
    const CheckReport report = open(path)->check();
    EXPECT_EQ(report.errors, 2u);
    EXPECT_EQ(report.leaks, 2u);
    EXPECT_EQ(report.sentences.size(), 2u);
}

} // namespace

} // namespace disktool::qcow2::test
