// SPDX-License-Identifier: LGPL-2.1-or-later
// A merge that was interrupted: what the next run makes of it, and what it says. That it does so after any cut
// is shown by operations_crash_test.cpp.
#include "left_over.h"
#include "made_disk.h"

#include <algorithm>
#include <cerrno>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::ChangeKind;
using disktool::test::RecordingDoor;

class FinishMerge : public testing::Test {
  protected:
    void SetUp() override { path = fresh(folder); }

    static std::string fresh(const TemporaryFolder& where) {
        return make_chain(where.path(), {{.clusters = {0, 1, 2}, .letter = 'a'},
                                         {.clusters = {1, 2, 3}, .letter = 'b'},
                                         {.clusters = {2, 3, 4}, .letter = 'c'},
                                         {.clusters = {3, 4, 5}, .letter = 'd'}});
    }

    using Plans = std::function<Plan(PloopDisk&)>;
    static Plan merge_top(PloopDisk& disk) { return plan_snapshot_merge(disk, {}); }
    static Plan merge_all(PloopDisk& disk) {
        return plan_snapshot_merge(disk, {.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
    }
    static Plan delete_second(PloopDisk& disk) { return plan_snapshot_delete(disk, uuid_of('2')); }

    /// All is moved, and the descriptor is still the old one.
    void interrupt(const Plans& plans) {
        std::size_t number = 0;
        {
            const TemporaryFolder other;
            const std::string copy = fresh(other);
            RecordingDoor door(other.path());
            run(plans(*open_disk(copy, {door, real_doors().processes}).disk), {door, real_doors().processes});
            const auto& changes = door.changes();
            const auto is_switch = [](const auto& change) {
                return change.kind == ChangeKind::rename && change.new_path == "DiskDescriptor.xml";
            };
            number = static_cast<std::size_t>(std::ranges::find_if(changes, is_switch) - changes.begin()) + 1;
        }
        RecordingDoor door(folder.path());
        door.fail_change(number, EIO);
        const Opened opened = open_disk(path, {door, real_doors().processes});
        EXPECT_THROW(run(plans(*opened.disk), {door, real_doors().processes}), SystemError);
        ASSERT_TRUE(door.failed());
        ASSERT_TRUE(read_job(real_doors().files, path));
        ASSERT_EQ(Descriptor::load(real_doors().files, path).snapshots.size(), 4u);
    }

    static bool says(const Opened& opened, const std::string& words) {
        return std::ranges::any_of(
            *opened.lines, [&](const std::string& line) { return line.find(words) != std::string::npos; });
    }
    std::size_t snapshots() { return Descriptor::load(real_doors().files, path).snapshots.size(); }

    TemporaryFolder folder;
    std::string path;
    const std::string whole = "abcddd..........";
};

TEST_F(FinishMerge, TheNextRunBringsItToItsEnd) {
    interrupt(merge_all);
    const Opened opened = open_disk(path);
    EXPECT_TRUE(says(opened, "Finishing an interrupted snapshot-merge"));
    EXPECT_EQ(contents_of(path), (Contents{{Uuid::top().lower(), whole}}));
    expect_tidy(path);
}

TEST_F(FinishMerge, AReaderLeavesItAlone) {
    interrupt(merge_all);
    DiskOptions options;
    options.access = Access::read;
    PloopDisk::open(real_doors(), path, options);
    EXPECT_TRUE(read_job(real_doors().files, path));
    EXPECT_EQ(letters_at(path, Uuid::top()), whole);
}

// A merge without -u is of the top and the snapshot below it, which is another one afterwards.
TEST_F(FinishMerge, AskedForAgainItDoesNotTakeTheNextSnapshotToo) {
    interrupt(merge_top);
    {
        const Opened opened = open_disk(path);
        run(merge_top(*opened.disk));
    }
    EXPECT_EQ(snapshots(), 3u);
    expect_tidy(path);
    {
        const Opened opened = open_disk(path);
        run(merge_top(*opened.disk));
    }
    EXPECT_EQ(snapshots(), 2u);
}

TEST_F(FinishMerge, AnotherOneIsDoneAfterIt) {
    interrupt(merge_top);
    const Opened opened = open_disk(path);
    run(plan_snapshot_merge(*opened.disk, {.uuid = uuid_of('2'), .range_end = {}, .new_file = ""}));
    EXPECT_EQ(snapshots(), 2u);
    EXPECT_EQ(letters_at(path, Uuid::top()), whole);
}

TEST_F(FinishMerge, ADeletionIsOneToo) {
    interrupt(delete_second);
    {
        const Opened opened = open_disk(path);
        run(delete_second(*opened.disk));
    }
    EXPECT_EQ(Descriptor::load(real_doors().files, path).snapshot(uuid_of('2')), nullptr);
    EXPECT_EQ(letters_at(path, uuid_of('3')), "abccc...........");
    const Opened opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { delete_second(*opened.disk); }), 43);
}

TEST_F(FinishMerge, WhatCannotBeFinishedIsToldAndTheDiskOpens) {
    interrupt(merge_all);
    const std::string middle = folder / "root.hds.1";
    const std::string kept = disktool::test::read_file(middle);
    // In the same file: its inode tells that it is the one.
    real_doors().files.open(middle, {.write = true})->truncate(100);
    {
        const Opened opened = open_disk(path);
        EXPECT_TRUE(says(opened, "cannot be finished"));
    }
    EXPECT_EQ(snapshots(), 4u);
    real_doors().files.open(middle, {.write = true})->write(0, bytes_of(kept));
    EXPECT_EQ(letters_at(path, Uuid::top()), whole);
    {
        const Opened opened = open_disk(path);
        run(merge_all(*opened.disk));
    }
    EXPECT_EQ(contents_of(path), (Contents{{Uuid::top().lower(), whole}}));
    expect_tidy(path);
}

// Its in-use mark tells that something was moved: the snapshots that go are named.
TEST_F(FinishMerge, TheSpoiledSnapshotsAreNamed) {
    interrupt(merge_all);
    {
        const auto lowest =
            Delta::open(real_doors().files.open(folder / "root.hds", {.write = true}), Access::write);
        lowest->begin();
    }
    real_doors().files.open(folder / "root.hds.1", {.write = true})->truncate(100);
    const Opened opened = open_disk(path);
    EXPECT_TRUE(says(opened, uuid_of('1').text() + ", " + uuid_of('2').text() + ", " + uuid_of('3').text() +
                                 " may hold newer data"));
}

// Another program has changed the chain meanwhile.
TEST_F(FinishMerge, OfAnotherChainNothingIsMoved) {
    interrupt(merge_top);
    Descriptor changed = Descriptor::load(real_doors().files, path);
    changed.switch_to(uuid_of('3'), folder / "root.hds.9", uuid_of('8'));
    make_delta(folder / "root.hds.9", {.clusters = {8}, .letter = 'f'});
    changed.store(real_doors().files, path);
    const std::string text = disktool::test::read_file(path);
    const Opened opened = open_disk(path);
    EXPECT_FALSE(says(opened, "Finishing"));
    EXPECT_EQ(disktool::test::read_file(path), text);
    EXPECT_FALSE(read_job(real_doors().files, path));
}

} // namespace

} // namespace disktool::ploop::operations_test
