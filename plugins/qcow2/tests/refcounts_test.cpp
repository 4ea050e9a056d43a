// SPDX-License-Identifier: LGPL-2.1-or-later
#include "changed_images.h"
#include "mend.h"
#include "refcounts.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {

namespace {

class RefcountWidth : public testing::TestWithParam<std::uint32_t> {
  protected:
    void SetUp() override {
        create(path, fmt::format("cluster_size=512,refcount_bits={}", GetParam()), "1M");
        qemu_io(path, {"write -q -P 1 0 300k", "discard -q 10k 5k"});
        image = open_for_writing(path);
    }
    Refcounts refcounts() { return {image->file(), image->metadata().header(), image->metadata().file_size()}; }
    /// Calls `change` with every count of the clusters of the file.
    void for_each(const std::function<void(RefcountBlock&, std::uint64_t index)>& change) {
        const std::uint64_t clusters = image->metadata().file_size() / 512;
        refcounts().visit_blocks([&](RefcountBlock& block) {
            for (std::uint64_t i = 0; i < block.size() && block.first_cluster() + i < clusters; ++i) {
                change(block, i);
            }
        });
    }

    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    std::unique_ptr<Image> image;
};

TEST_P(RefcountWidth, WhatIsReadIsWhatQemuCounts) {
    std::uint64_t used = 0;
    std::uint64_t free = 0;
    for_each([&](RefcountBlock& block, std::uint64_t index) {
        ASSERT_LE(block.get(index), 1u);
        ++(block.get(index) == 1 ? used : free);
    });
    EXPECT_GT(used, 600u);
    EXPECT_GE(free, 10u);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_P(RefcountWidth, RaisedCountsAreLeaksForQemuAndForUs) {
    std::uint64_t raised = 0;
    for_each([&](RefcountBlock& block, std::uint64_t index) {
        if (block.get(index) == 0) {
            block.set(index, 1);
            ++raised;
        }
    });
    EXPECT_EQ(qemu_check(path), (Verdict{0, raised}));
    const CheckReport report = image->check();
    EXPECT_EQ(report.leaks, raised);
    EXPECT_EQ(report.errors, 0u);
}

TEST_P(RefcountWidth, LoweredCountsAreErrorsForQemuAndForUs) {
    std::uint64_t seen = 0;
    std::uint64_t lowered = 0;
    for_each([&](RefcountBlock& block, std::uint64_t index) {
        if (block.get(index) == 1 && ++seen % 100 == 0) {
            block.set(index, 0);
            ++lowered;
        }
    });
    EXPECT_GE(lowered, 6u);
    // QEMU counts an entry that says "one user" and has none as a second error.
    EXPECT_GE(qemu_check(path).errors, lowered);
    EXPECT_EQ(qemu_check(path).leaks, 0u);
    const CheckReport report = image->check();
    EXPECT_EQ(report.errors, lowered);
    EXPECT_EQ(report.leaks, 0u);
    EXPECT_EQ(report.sentences.size(), lowered);
}

TEST_P(RefcountWidth, EveryValueComesBackAndNeighboursStay) {
    const std::uint64_t maximum = GetParam() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << GetParam()) - 1;
    RefcountBlock block(0, 512, GetParam());
    ASSERT_EQ(block.size(), 4096u / GetParam());
    for (std::uint64_t i = 0; i < block.size(); ++i) {
        block.set(i, (i * 0x9e3779b97f4a7c15) & maximum);
    }
    for (std::uint64_t i = 0; i < block.size(); ++i) {
        EXPECT_EQ(block.get(i), (i * 0x9e3779b97f4a7c15) & maximum);
    }
    block.set(1, maximum);
    block.set(0, 0);
    EXPECT_EQ(block.get(1), maximum);
    EXPECT_EQ(block.get(2), (2 * 0x9e3779b97f4a7c15) & maximum);
}

INSTANTIATE_TEST_SUITE_P(, RefcountWidth, testing::Values(1, 2, 4, 8, 16, 32, 64),
                         testing::PrintToStringParamName());

class RefcountDamage : public testing::Test {
  protected:
    void SetUp() override {
        create(path, "cluster_size=4k", "4M");
        qemu_io(path, {"write -q -P 1 0 1M"});
    }
    std::string complaint() {
        return error_of([&] {
                   auto image = open_for_writing(path);
                   Plan plan("compact", path);
                   image->plan_compact(plan, ExtentSet({0, 1 << 20}));
               })
            .what();
    }
    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    std::uint64_t table() { return peek<std::uint64_t>(path, field::refcount_table_offset); }
};

TEST_F(RefcountDamage, ABlockThatIsNotAtACluster) {
    patch<std::uint64_t>(path, table(), peek<std::uint64_t>(path, table()) + 512);
    EXPECT_THAT(complaint(), testing::HasSubstr("refcount block 0"));
}

TEST_F(RefcountDamage, ABlockBeyondTheEnd) {
    patch<std::uint64_t>(path, table(), 1ull << 50);
    EXPECT_THAT(complaint(), testing::HasSubstr("beyond the end of the file"));
}

TEST_F(RefcountDamage, ABlockOverTheHeader) {
    patch<std::uint64_t>(path, table(), 512);
    EXPECT_THAT(complaint(), testing::HasSubstr("refcount block 0"));
}

TEST_F(RefcountDamage, ABlockOverAnotherStructure) {
    patch<std::uint64_t>(path, table() + 8, peek<std::uint64_t>(path, field::l1_offset));
    EXPECT_THAT(complaint(), testing::HasSubstr("is used 2 times"));
}

TEST_F(RefcountDamage, NoBlockForClustersInUse) {
    patch<std::uint64_t>(path, table(), 0);
    EXPECT_THAT(complaint(), testing::HasSubstr("refcount 0"));
}

TEST_F(RefcountDamage, ATableBeyondTheEnd) {
    patch<std::uint64_t>(path, field::refcount_table_offset, 1ull << 40);
    EXPECT_THAT(complaint(), testing::HasSubstr("refcount table"));
}

} // namespace

} // namespace disktool::qcow2::test
