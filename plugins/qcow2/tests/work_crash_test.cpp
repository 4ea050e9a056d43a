// SPDX-License-Identifier: LGPL-2.1-or-later
// Working disks and their commits, killed and failing at every one of their changes.
#include "working_disks.h"

#include <disktool/log.h>

#include <cerrno>

namespace disktool::qcow2::test {

namespace {

using disktool::test::RecordingDoor;
using disktool::test::Survivors;

struct CrashCase {
    Recipe recipe;
    std::int64_t sectors = 0; ///< that the disk gains
    bool drop_snapshots = false;
    bool drop_backing = false;
    bool reserve = false;
    bool bitmaps = false;
    friend void PrintTo(const CrashCase& crash, std::ostream* out) { *out << crash.recipe.name; }
};

/// All that an image says of its disk.
struct State {
    Bytes content;
    std::vector<std::string> snapshots;
    bool backed = false;
    std::vector<std::vector<bool>> bitmaps;
    friend bool operator==(const State&, const State&) = default;
};

State state_of(const std::string& path) {
    State state;
    auto image = open(path);
    state.content = read_whole(image->device());
    state.backed = image->backing() != nullptr;
    for (const SnapshotInfo& info : image->info().snapshots) {
        state.snapshots.push_back(info.name);
    }
    for (const BitmapInfo& info : image->info().bitmaps) {
        EXPECT_FALSE(info.in_use);
        state.bitmaps.push_back(dirty_sectors(path, info.name));
    }
    return state;
}

class CrashOfWork : public testing::TestWithParam<CrashCase> {
  protected:
    void SetUp() override {
        set_log_receiver([](LogLevel, std::string_view) {});
        const CrashCase& crash = GetParam();
        make_random_image(folder, crash.recipe, 7);
        if (crash.bitmaps) {
            run_tool({"qemu-img", "bitmap", "--add", "-g", "1024", path, "recording"});
            run_tool({"qemu-img", "bitmap", "--add", "-g", "4096", path, "stopped"});
            qemu_io(path, {"write -q -P 5 100k 20k", "write -q -P 5 300k 9k"});
            run_tool({"qemu-img", "bitmap", "--disable", path, "stopped"});
        }
        before = state_of(path);
        request.size = before.content.size() + crash.sectors * 512;
        request.drop_snapshots = crash.drop_snapshots;
        request.drop_backing = crash.drop_backing;
        request.reserve = crash.reserve;
        original = disktool::test::read_file(path);
    }
    void TearDown() override { set_log_receiver({}); }

    /// The whole work, always the same.
    void work(Doors doors) {
        auto image = open_for_writing(path, doors);
        auto disk = image->begin_work(std::max<std::uint64_t>(before.content.size(), request.size));
        ModelledWork modelled(*disk, before.content, image->info().cluster_size, 11);
        modelled.random_requests(12);
        if (request.drop_backing) {
            modelled.write(0, Bytes(modelled.content()));
        }
        disk->commit(request);
    }
    /// What a whole run makes of it; checked by QEMU.
    void find_after() {
        work(real_doors());
        after = state_of(path);
        EXPECT_EQ(difference(after.content, content_by_qemu(path), {}), std::nullopt);
        EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
        EXPECT_NE(before, after);
        disktool::test::write_file(path, original);
    }
    /// Old or new, without errors and leaks, before and after mending.
    void judge(const std::string& image) {
        const State now = state_of(image);
        const bool is_new = now == after;
        EXPECT_TRUE(is_new || now == before);
        (is_new ? new_ones : old_ones)++;
        CheckReport report = open(image)->check();
        EXPECT_EQ(report.errors + report.leaks, 0u) << testing::PrintToString(report.sentences);
        const bool by_qemu = looked_at++ % 6 == 0;
        if (by_qemu) {
            EXPECT_EQ(qemu_check(image), (Verdict{0, 0}));
        }
        mend(image);
        EXPECT_EQ(state_of(image), now);
        report = open(image)->check();
        EXPECT_EQ(report.errors + report.leaks, 0u);
        EXPECT_TRUE(nothing_left(image, {}));
        if (by_qemu) {
            EXPECT_EQ(qemu_check(image), (Verdict{0, 0}));
            EXPECT_EQ(difference(now.content, content_by_qemu(image), {}), std::nullopt);
        }
    }

    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    std::string original;
    WorkCommit request;
    State before;
    State after;
    int old_ones = 0;
    int new_ones = 0;
    unsigned looked_at = 0;
};

TEST_P(CrashOfWork, LeavesTheOldOrTheNewDiskWithoutLeaks) {
    find_after();
    RecordingDoor door(folder.path());
    work({door, real_doors().processes});
    EXPECT_EQ(state_of(path), after);
    TemporaryFolder crashed;
    std::set<std::uint64_t> seen;
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        const auto look = [&](Survivors survivors, std::uint32_t seed) {
            const auto left = door.left_by(cut, survivors, seed);
            if (seen.insert(left.signature()).second) {
                door.put(left, crashed.path());
                SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors) << " " << seed);
                judge(crashed / "disk.qcow2");
            }
        };
        look(Survivors::all, 0);
        look(Survivors::torn, 0);
        look(Survivors::synced, 0);
        look(Survivors::random, static_cast<std::uint32_t>(cut));
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(old_ones, 3);
    EXPECT_GT(new_ones, 0);
}

TEST_P(CrashOfWork, FailuresLeaveTheOldDiskAndItsSpaceOrTheNewOne) {
    find_after();
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed; ++number) {
            SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
            disktool::test::write_file(path, original);
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 ? ENOSPC : EIO);
            bool thrown = false;
            try {
                work({door, real_doors().processes});
            } catch (const Error&) {
                EXPECT_TRUE(door.failed());
                thrown = true;
            }
            failed = door.failed();
            const State now = state_of(path);
            EXPECT_TRUE(now == (thrown ? before : after));
            if (thrown) {
                EXPECT_EQ(std::filesystem::file_size(path), original.size());
            }
            judge(path);
            if (HasFailure()) {
                return;
            }
        }
    }
    EXPECT_GT(old_ones, 3);
    EXPECT_GT(new_ones, 0);
}

TEST_P(CrashOfWork, AFullHostLeavesTheOldDisk) {
    find_after();
    for (const std::uint64_t space : {0, 5000, 40'000, 200'000}) {
        SCOPED_TRACE(space);
        disktool::test::write_file(path, original);
        RecordingDoor door(folder.path());
        door.limit_space(space);
        try {
            work({door, real_doors().processes});
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::no_space);
            EXPECT_EQ(std::filesystem::file_size(path), original.size());
        }
        judge(path);
    }
    EXPECT_GT(old_ones, 0);
}

INSTANTIATE_TEST_SUITE_P(
    , CrashOfWork,
    testing::Values(
        CrashCase{.recipe = {.name = "cluster512",
                             .options = "cluster_size=512,refcount_bits=64",
                             .size = 256 << 10}},
        CrashCase{.recipe = {.name = "compressed_larger",
                             .options = "cluster_size=4k",
                             .compressed = true,
                             .size = 512 << 10},
                  .sectors = 1234},
        CrashCase{.recipe = {.name = "smaller", .options = "cluster_size=4k,refcount_bits=1", .size = 1 << 20},
                  .sectors = -1111},
        CrashCase{.recipe = {.name = "drop_backing",
                             .options = "cluster_size=4k",
                             .backing = true,
                             .size = (512 << 10) + 512},
                  .sectors = -3,
                  .drop_backing = true},
        CrashCase{.recipe = {.name = "backing_version2_larger",
                             .options = "compat=0.10,cluster_size=4k",
                             .backing = true,
                             .size = (256 << 10) + 512},
                  .sectors = 100},
        CrashCase{.recipe = {.name = "drop_snapshots",
                             .options = "cluster_size=4k",
                             .compressed = true,
                             .snapshots = true,
                             .size = 512 << 10},
                  .drop_snapshots = true},
        CrashCase{.recipe = {.name = "keep_snapshots",
                             .options = "cluster_size=4k,lazy_refcounts=on",
                             .snapshots = true,
                             .size = 512 << 10}},
        CrashCase{.recipe = {.name = "reserve_subclusters",
                             .options = "extended_l2=on,cluster_size=16k",
                             .size = 512 << 10},
                  .sectors = 77,
                  .reserve = true},
        CrashCase{.recipe = {.name = "preallocated",
                             .options = "preallocation=metadata,cluster_size=4k",
                             .size = 512 << 10},
                  .sectors = 1},
        CrashCase{.recipe = {.name = "bitmaps", .options = "cluster_size=512", .size = 512 << 10},
                  .sectors = 200,
                  .bitmaps = true},
        CrashCase{.recipe = {.name = "bitmaps_backing_smaller",
                             .options = "cluster_size=4k",
                             .backing = true,
                             .size = 512 << 10},
                  .sectors = -200,
                  .drop_backing = true,
                  .bitmaps = true}),
    [](const auto& crash) { return crash.param.recipe.name; });

} // namespace

} // namespace disktool::qcow2::test
