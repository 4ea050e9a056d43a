// SPDX-License-Identifier: LGPL-2.1-or-later
// Compact, mend and grow, killed and failing at every one of their changes.
#include "changed_images.h"
#include "refcounts.h"
#include "support/recording_door.h"

#include <cerrno>
#include <set>

namespace disktool::qcow2::test {

namespace {

using disktool::test::ChangeKind;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;

/// Judges an image that a cut or a failure left, and finishes the job on it.
using Judge = std::function<void(const std::string& path)>;
using Job = std::function<void(const std::string& path, TestContext& context)>;

class Crash : public testing::Test {
  protected:
    /// Every state that a kill, or a loss of power, at any moment can leave.
    void cut_everywhere(const Job& job, const Judge& judge) {
        RecordingDoor door(folder.path());
        TestContext context({door, real_doors().processes});
        job(path, context);
        ASSERT_GT(door.changes().size(), 4u);
        TemporaryFolder after;
        std::set<std::uint64_t> seen;
        for (const std::size_t cut : door.cuts()) {
            SCOPED_TRACE(door.describe(cut));
            const auto look = [&](Survivors survivors, std::uint32_t seed) {
                const auto left = door.left_by(cut, survivors, seed);
                if (seen.insert(left.signature()).second) {
                    door.put(left, after.path());
                    SCOPED_TRACE(testing::Message()
                                 << "survivors " << static_cast<int>(survivors) << " " << seed);
                    judge(after / "disk.qcow2");
                }
            };
            look(Survivors::all, 0);
            look(Survivors::torn, 0);
            look(Survivors::synced, 0);
            for (std::uint32_t seed = 1; seed <= 2; ++seed) {
                look(Survivors::random, seed);
            }
        }
        EXPECT_GT(seen.size(), 5u);
    }

    /// Every change and every sync fails once.
    void fail_everywhere(const Job& job, const Judge& judge) {
        const std::string original = disktool::test::read_file(path);
        for (const bool sync : {false, true}) {
            bool failed = true;
            for (std::size_t number = 1; failed; ++number) {
                SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
                disktool::test::write_file(path, original);
                RecordingDoor door(folder.path());
                sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 ? ENOSPC : EIO);
                TestContext context({door, real_doors().processes});
                try {
                    job(path, context);
                } catch (const Error&) {
                    EXPECT_TRUE(door.failed());
                }
                failed = door.failed();
                judge(path);
            }
        }
    }

    /// Errors never, leaks perhaps.
    static void expect_sound(const std::string& image) {
        EXPECT_EQ(qemu_check(image).errors, 0u);
        EXPECT_EQ(open(image)->check().errors, 0u);
    }

    /// Neither errors nor leaks, and this content. Our own eyes look at every image, QEMU's at each eighth.
    void expect_clean(const std::string& image, const Bytes& expected, const ExtentSet& except) {
        const CheckReport report = open(image)->check();
        EXPECT_EQ(report.errors + report.leaks, 0u);
        EXPECT_EQ(difference(expected, content(image), except), std::nullopt);
        if (looked_at_++ % 8 == 0) {
            EXPECT_EQ(qemu_check(image), (Verdict{0, 0}));
            EXPECT_EQ(difference(expected, content_by_qemu(image), except), std::nullopt);
        }
    }

    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";

  private:
    unsigned looked_at_ = 0;
};

class CrashOfCompact : public Crash, public testing::WithParamInterface<Recipe> {
  protected:
    void SetUp() override {
        make_random_image(folder, GetParam(), 3);
        before = content_by_qemu(path);
    }
    void judge(const std::string& image) {
        expect_sound(image);
        EXPECT_EQ(difference(before, content(image), discardable), std::nullopt);
        mend(image);
        EXPECT_EQ(difference(before, content(image), discardable), std::nullopt);
        compact(image, discardable);
        expect_clean(image, before, discardable);
        EXPECT_TRUE(nothing_left(image, discardable));
    }
    const ExtentSet discardable =
        ExtentSet::from_unsorted({{1000, 50'000}, {100'000, 50'000}, {800'000, 200'000}});
    Bytes before;
};

TEST_P(CrashOfCompact, LeavesValidImages) {
    cut_everywhere(
        [&](const std::string& image, TestContext& context) { compact(image, discardable, context); },
        [&](const std::string& image) { judge(image); });
}

TEST_P(CrashOfCompact, FailuresLeaveValidImages) {
    fail_everywhere(
        [&](const std::string& image, TestContext& context) { compact(image, discardable, context); },
        [&](const std::string& image) { judge(image); });
}

INSTANTIATE_TEST_SUITE_P(
    , CrashOfCompact,
    testing::Values(
        Recipe{.name = "cluster512", .options = "cluster_size=512,refcount_bits=64", .size = 256 << 10},
        Recipe{.name = "cluster4k", .options = "cluster_size=4k", .compressed = true, .size = 1 << 20},
        Recipe{.name = "backing", .options = "cluster_size=4k", .backing = true, .size = 1 << 20}),
    [](const auto& recipe) { return recipe.param.name; });

class CrashOfMend : public Crash {
  protected:
    void SetUp() override {
        make_random_image(folder,
                          {.name = "", .options = "cluster_size=512,refcount_bits=64", .size = 256 << 10}, 4);
        before = content_by_qemu(path);
        auto image = open_for_writing(path);
        Refcounts refcounts(image->file(), image->metadata().header(), image->metadata().file_size());
        refcounts.visit_blocks([](RefcountBlock& block) {
            for (std::uint64_t i = 0; i < block.size(); ++i) {
                block.set(i, block.get(i) == 0 ? 1 : block.get(i));
            }
        });
        ASSERT_GT(qemu_check(path).leaks, 10u);
    }
    void judge(const std::string& image) {
        expect_sound(image);
        mend(image);
        expect_clean(image, before, {});
        EXPECT_TRUE(nothing_left(image, {}));
    }
    static void job(const std::string& image, TestContext& context) { compact(image, {}, context); }
    Bytes before;
};

TEST_F(CrashOfMend, LeavesValidImages) {
    cut_everywhere(job, [&](const std::string& image) { judge(image); });
}

TEST_F(CrashOfMend, FailuresLeaveValidImages) {
    fail_everywhere(job, [&](const std::string& image) { judge(image); });
}

struct Growth {
    Recipe recipe;
    std::uint64_t new_size;
    friend void PrintTo(const Growth& growth, std::ostream* out) { *out << growth.recipe.name; }
};

class CrashOfGrow : public Crash, public testing::WithParamInterface<Growth> {
  protected:
    void SetUp() override {
        make_random_image(folder, GetParam().recipe, 5);
        before = content_by_qemu(path);
        request.new_size = GetParam().new_size;
        request.patches = {{0, Bytes(1024, std::byte{0xd1})},
                           {request.new_size - 7 * 512, Bytes(7 * 512, std::byte{0xd2})}};
        after = before;
        after.resize(request.new_size);
        for (const Patch& patch : request.patches) {
            std::copy(patch.data.begin(), patch.data.end(), after.begin() + patch.offset);
        }
    }
    void judge(const std::string& image) {
        expect_sound(image);
        const Bytes now = content(image);
        const bool is_old = now.size() == before.size();
        EXPECT_EQ(difference(now, is_old ? before : after, {}), std::nullopt);
        mend(image);
        expect_clean(image, is_old ? before : after, {});
        EXPECT_TRUE(nothing_left(image, {}));
        if (is_old) {
            TestContext context;
            grow(image, request, context);
            expect_clean(image, after, {});
        }
        (is_old ? old_ones : new_ones)++;
    }
    void grow_it(const std::string& image, TestContext& context) { grow(image, request, context); }
    ResizeRequest request;
    Bytes before;
    Bytes after;
    int old_ones = 0;
    int new_ones = 0;
};

TEST_P(CrashOfGrow, LeavesTheOldOrTheNewDisk) {
    cut_everywhere([&](const std::string& image, TestContext& context) { grow_it(image, context); },
                   [&](const std::string& image) { judge(image); });
    EXPECT_GT(old_ones, 0);
    EXPECT_GT(new_ones, 0);
}

TEST_P(CrashOfGrow, FailuresLeaveTheOldOrTheNewDisk) {
    fail_everywhere([&](const std::string& image, TestContext& context) { grow_it(image, context); },
                    [&](const std::string& image) { judge(image); });
    EXPECT_GT(old_ones, 0);
    EXPECT_GT(new_ones, 0);
}

TEST_P(CrashOfGrow, AFullHostLeavesTheOldDiskAndNoLeaks) {
    const std::string original = disktool::test::read_file(path);
    for (const std::uint64_t space : {0, 1000, 4000}) {
        disktool::test::write_file(path, original);
        RecordingDoor door(folder.path());
        door.limit_space(space);
        TestContext context({door, real_doors().processes});
        EXPECT_EQ(error_of([&] { grow_it(path, context); }).code(), ErrorCode::no_space);
        EXPECT_EQ(disktool::test::read_file(path).size(), original.size());
        judge(path);
    }
    EXPECT_EQ(new_ones, 0);
}

INSTANTIATE_TEST_SUITE_P(
    , CrashOfGrow,
    testing::Values(
        Growth{{.name = "l1", .options = "cluster_size=512", .size = (512 << 10) + 1024}, 2 << 20},
        // One table of one cluster counts 4096 clusters; this disk leaves a dozen of them.
        Growth{{.name = "refcount_table",
                .options = "cluster_size=512,refcount_bits=64,preallocation=metadata",
                .size = 3955 * 512},
               4103 * 512},
        Growth{{.name = "backing", .options = "cluster_size=4k", .backing = true, .size = (512 << 10) + 512},
               1 << 20}),
    [](const auto& growth) { return growth.param.recipe.name; });

} // namespace

} // namespace disktool::qcow2::test
