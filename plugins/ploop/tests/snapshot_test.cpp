// SPDX-License-Identifier: LGPL-2.1-or-later
// Snapshots: making, going back, deleting; and growing, since a snapshot may be shorter than the disk.
#include "left_over.h"
#include "made_disk.h"

#include <cerrno>

namespace disktool::ploop::operations_test {

namespace {

class DiskSnapshot : public testing::Test {
  protected:
    Descriptor descriptor() { return Descriptor::load(real_doors().files, path); }
    TemporaryFolder folder;
    std::string path;
};

TEST_F(DiskSnapshot, KeepsTheContentAndGivesANewTop) {
    path = make_chain(folder.path(), {{.clusters = {0, 3}, .letter = 'a'}});
    auto [disk, lines] = open_disk(path);
    run(plan_snapshot(*disk, {.uuid = uuid_of('9'), .bitmap = {}}));
    EXPECT_EQ(letters_at(path, uuid_of('9')), "a..a............");
    EXPECT_EQ(letters_at(path, Uuid::top()), "a..a............");
    EXPECT_EQ(descriptor().images.front().file, "root.hds");
    EXPECT_EQ(descriptor().images.front().uuid, uuid_of('9'));
    const std::string fresh = descriptor().image(Uuid::top())->file;
    EXPECT_EQ(*lines, (std::vector<std::string>{
                          "Opening delta " + (folder / "root.hds"),
                          "Adding snapshot {5fbaabe3-6958-40ff-92a7-860e329aab41}",
                          "Storing " + path + ".tmp",
                          "Creating delta " + (folder / fresh) + " bs=64 size=1024 sectors v2",
                          "Opening delta " + (folder / "root.hds"),
                          "ploop snapshot " + uuid_of('9').text() + " has been successfully created",
                      }));
    expect_tidy(path);
    // What the caller holds is the new state.
    EXPECT_EQ(disk->descriptor.text(), descriptor().text());
}

TEST_F(DiskSnapshot, OfARawDiskIsAPloopDelta) {
    path = make_chain(folder.path(), {{.clusters = {5}, .letter = 'r', .version = Version::v2, .raw = true}});
    run(plan_snapshot(*open_disk(path).disk, {}));
    EXPECT_EQ(letters_at(path, Uuid::top()), ".....r..........");
    EXPECT_FALSE(descriptor().image(Uuid::top())->raw);
    expect_tidy(path);
}

TEST_F(DiskSnapshot, KeepsTheVersionOfTheTop) {
    path = make_chain(folder.path(), {{.clusters = {5}, .letter = 'a', .version = Version::v1}});
    const auto opened = open_disk(path);
    run(plan_snapshot(*opened.disk, {}));
    EXPECT_EQ(opened.disk->open_delta(Uuid::top(), Access::read)->header().version, Version::v1);
}

TEST_F(DiskSnapshot, RefusesATakenUuidAndABitmap) {
    path = make_chain(folder.path(), {{.clusters = {0}}, {.clusters = {1}}});
    const auto opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { plan_snapshot(*opened.disk, {.uuid = uuid_of('1'), .bitmap = {}}); }), 38);
    EXPECT_EQ(exit_of([&] { plan_snapshot(*opened.disk, {.uuid = {}, .bitmap = "b"}); }), 44);
    EXPECT_EQ(names_in(folder.path()).size(), 4u);
}

TEST_F(DiskSnapshot, PlanningTouchesNothing) {
    path = make_chain(folder.path(), {{.clusters = {0}}, {.clusters = {1}}});
    const auto opened = open_disk(path);
    const auto before = names_in(folder.path());
    const std::string text = disktool::test::read_file(path);
    EXPECT_EQ(plan_snapshot(*opened.disk, {}).steps().size(), 2u);
    EXPECT_EQ(plan_snapshot_switch(*opened.disk, {uuid_of('1'), false}).steps().size(), 3u);
    EXPECT_FALSE(plan_snapshot_delete(*opened.disk, uuid_of('1')).empty());
    EXPECT_FALSE(plan_snapshot_merge(*opened.disk, {}).empty());
    EXPECT_FALSE(plan_grow(*opened.disk, 32 * small_cluster).empty());
    EXPECT_EQ(names_in(folder.path()), before);
    EXPECT_EQ(disktool::test::read_file(path), text);
}

void leave_in_use(const std::string& image) {
    Delta::open(real_doors().files.open(image, {.write = true}), Access::write)->begin();
}

TEST_F(DiskSnapshot, ClosesATopThatAKilledWriterLeft) {
    path = make_chain(folder.path(), {{.clusters = {0}}});
    leave_in_use(folder / "root.hds");
    run(plan_snapshot(*open_disk(path).disk, {}));
    EXPECT_EQ(letters_at(path, Uuid::top()), "a...............");
    expect_tidy(path);
}

TEST_F(DiskSnapshot, OpeningClosesALowerImageButNotTheTop) {
    path = make_chain(folder.path(), {{.clusters = {0}}, {.clusters = {1}}});
    leave_in_use(folder / "root.hds");
    const auto opened = open_disk(path);
    EXPECT_NO_THROW(opened.disk->open_delta(uuid_of('1'), Access::read));
    ASSERT_EQ(opened.lines->size(), 2u);
    leave_in_use(folder / "root.hds.1");
    EXPECT_EQ(exit_of([&] { plan_snapshot_merge(*opened.disk, {}); }), 4);
}

TEST_F(DiskSnapshot, OpeningTellsWhatIsMissingAndWhatIsBroken) {
    EXPECT_EQ(exit_of([&] { open_disk(folder / "DiskDescriptor.xml"); }), 39);
    EXPECT_TRUE(names_in(folder.path()).empty());
    disktool::test::write_file(folder / "DiskDescriptor.xml", "<a>");
    EXPECT_EQ(exit_of([&] { open_disk(folder / "DiskDescriptor.xml"); }), 23);
}

TEST_F(DiskSnapshot, IsLockedWhileOpenForWriting) {
    path = make_chain(folder.path(), {{.clusters = {0}}});
    const auto opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { open_disk(path); }), 23);
    DiskOptions reading;
    reading.access = Access::read;
    EXPECT_NO_THROW(PloopDisk::open(real_doors(), path, reading));
}

class DiskSwitch : public DiskSnapshot {
  protected:
    void SetUp() override {
        path = make_chain(folder.path(), {{.clusters = {0, 1}, .letter = 'a'},
                                          {.clusters = {1, 2}, .letter = 'b'},
                                          {.clusters = {2, 3}, .letter = 'c'}});
    }
};

TEST_F(DiskSwitch, GoesBackAndRemovesTheTop) {
    disktool::test::write_file(folder / ".statfs", "old");
    run(plan_snapshot_switch(*open_disk(path).disk, {uuid_of('1'), false}));
    EXPECT_EQ(letters_at(path, Uuid::top()), "aa..............");
    EXPECT_EQ(letters_at(path, uuid_of('2')), "abb.............");
    EXPECT_EQ(descriptor().snapshot(Uuid::top())->parent, uuid_of('1'));
    EXPECT_FALSE(std::filesystem::exists(folder / "root.hds.2"));
    expect_tidy(path);
}

TEST_F(DiskSwitch, CanKeepTheOldTop) {
    run(plan_snapshot_switch(*open_disk(path).disk, {uuid_of('1'), true}));
    const Descriptor after = descriptor();
    ASSERT_EQ(after.snapshots.size(), 4u);
    for (const ImageEntry& entry : after.images) {
        if (entry.file == "root.hds.2") {
            EXPECT_EQ(letters_at(path, entry.uuid), "abcc............");
        }
    }
    EXPECT_EQ(letters_at(path, Uuid::top()), "aa..............");
    expect_tidy(path);
}

TEST_F(DiskSwitch, BringsTheSizeBack) {
    run(plan_grow(*open_disk(path).disk, 20 * small_cluster));
    EXPECT_EQ(letters_at(path, Uuid::top()), "abcc................");
    run(plan_snapshot_switch(*open_disk(path).disk, {uuid_of('2'), false}));
    EXPECT_EQ(letters_at(path, Uuid::top()), "abb.............");
    EXPECT_EQ(descriptor().disk_sectors, 16u * small_cluster);
    expect_tidy(path);
}

TEST_F(DiskSwitch, RefusesTheTopAndTheUnknown) {
    const auto opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { plan_snapshot_switch(*opened.disk, {Uuid::top(), false}); }), 38);
    EXPECT_EQ(exit_of([&] { plan_snapshot_switch(*opened.disk, {uuid_of('7'), false}); }), 43);
}

class DiskDeletion : public DiskSwitch {};

TEST_F(DiskDeletion, OfTheTopMakesItsParentTheTop) {
    const auto opened = open_disk(path);
    run(plan_snapshot_delete(*opened.disk, Uuid::top()));
    EXPECT_EQ(letters_at(path, Uuid::top()), "abb.............");
    EXPECT_EQ(descriptor().snapshots.size(), 2u);
    EXPECT_EQ(opened.lines->front(), "del snapshot {5fbaabe3-6958-40ff-92a7-860e329aab41}");
    EXPECT_EQ(opened.lines->at(2), "Removing " + (folder / "root.hds.2"));
    expect_tidy(path);
}

TEST_F(DiskDeletion, OfALongerTopMakesTheDiskShorter) {
    run(plan_grow(*open_disk(path).disk, 20 * small_cluster));
    run(plan_snapshot_delete(*open_disk(path).disk, Uuid::top()));
    EXPECT_EQ(letters_at(path, Uuid::top()), "abb.............");
    expect_tidy(path);
}

TEST_F(DiskDeletion, WithOneChildIsAMerge) {
    run(plan_snapshot_delete(*open_disk(path).disk, uuid_of('1')));
    EXPECT_EQ(letters_at(path, uuid_of('2')), "abb.............");
    EXPECT_EQ(letters_at(path, Uuid::top()), "abcc............");
    EXPECT_EQ(descriptor().image(uuid_of('2'))->file, "root.hds");
    EXPECT_FALSE(std::filesystem::exists(folder / "root.hds.1"));
    expect_tidy(path);
}

TEST_F(DiskDeletion, WithSeveralChildrenIsPutOff) {
    run(plan_snapshot_switch(*open_disk(path).disk, {uuid_of('1'), false}));
    run(plan_snapshot_delete(*open_disk(path).disk, uuid_of('1')));
    EXPECT_TRUE(descriptor().snapshot(uuid_of('1'))->temporary);
    std::string sentence;
    EXPECT_EQ(exit_of([&] { plan_snapshot_delete(*open_disk(path).disk, uuid_of('1')); }, &sentence), 1);
    EXPECT_NE(sentence.find("marked for deletion already"), std::string::npos);
    const Contents before = contents_of(path);
    // When the other child goes, so does the marked one.
    run(plan_snapshot_delete(*open_disk(path).disk, uuid_of('2')));
    EXPECT_EQ(contents_of(path), (Contents{{Uuid::top().lower(), before.at(Uuid::top().lower())}}));
    EXPECT_EQ(descriptor().images.front().file, "root.hds");
    expect_tidy(path);
}

TEST_F(DiskDeletion, RefusesWhatCannotBe) {
    EXPECT_EQ(exit_of([&] { plan_snapshot_delete(*open_disk(path).disk, uuid_of('7')); }), 43);
    run(plan_snapshot_switch(*open_disk(path).disk, {uuid_of('1'), false}));
    // Written to, the parent would damage the other snapshot on it.
    EXPECT_EQ(exit_of([&] { plan_snapshot_delete(*open_disk(path).disk, Uuid::top()); }), 38);
    TemporaryFolder other;
    const std::string single = make_chain(other.path(), {{.clusters = {0}}});
    EXPECT_EQ(exit_of([&] { plan_snapshot_delete(*open_disk(single).disk, Uuid::top()); }), 38);
}

TEST_F(DiskDeletion, DoesNotRemoveAFileThatIsNamedTwice) {
    Descriptor twice = descriptor();
    twice.images[1].file = "root.hds.2";
    twice.store(real_doors().files, path);
    const auto opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { run(plan_snapshot_delete(*opened.disk, Uuid::top())); }), 23);
    EXPECT_TRUE(std::filesystem::exists(folder / "root.hds.2"));
}

class DiskGrow : public DiskSnapshot {};

TEST_F(DiskGrow, MovesTheDataOutOfTheBatsWay) {
    path = make_chain(folder.path(), {{.clusters = {0, 1, 2}, .letter = 'a'}});
    const std::uint64_t many = 9000; // clusters: the BAT takes two
    const auto opened = open_disk(path);
    run(plan_grow(*opened.disk, many * small_cluster));
    EXPECT_EQ(letters_at(path, Uuid::top()), "aaa" + std::string(many - 3, '.'));
    EXPECT_EQ(descriptor().disk_sectors, many * small_cluster);
    EXPECT_EQ(descriptor().cylinders, disktool::ploop::geometry_of(16 * small_cluster).cylinders);
    EXPECT_EQ(opened.disk->open_delta(Uuid::top(), Access::read)->header().flags, 0u);
    expect_tidy(path);
}

TEST_F(DiskGrow, OfARawDisk) {
    path = make_chain(folder.path(), {{.clusters = {5}, .letter = 'r', .version = Version::v2, .raw = true}});
    run(plan_grow(*open_disk(path).disk, 20 * small_cluster));
    EXPECT_EQ(letters_at(path, Uuid::top()), ".....r..............");
    expect_tidy(path);
}

TEST_F(DiskGrow, LeavesSnapshotsAsTheyAre) {
    path = make_chain(folder.path(), {{.clusters = {0}}, {.clusters = {1}, .letter = 'b'}});
    const std::string base = disktool::test::read_file(folder / "root.hds");
    run(plan_grow(*open_disk(path).disk, 20 * small_cluster));
    EXPECT_EQ(letters_at(path, Uuid::top()), "ab..................");
    EXPECT_EQ(disktool::test::read_file(folder / "root.hds"), base);
}

TEST_F(DiskGrow, RefusesSmallerUnalignedAndWhatWouldShineThrough) {
    path = make_chain(folder.path(),
                      {{.clusters = {0, 15}}, {.clusters = {1}, .letter = 'b', .disk_clusters = 8}});
    const auto opened = open_disk(path);
    EXPECT_EQ(exit_of([&] { plan_grow(*opened.disk, 4 * small_cluster); }), 38);
    EXPECT_EQ(exit_of([&] { plan_grow(*opened.disk, 9 * small_cluster + 1); }), 38);
    EXPECT_EQ(exit_of([&] { plan_grow(*opened.disk, 16 * small_cluster); }), 38);
    EXPECT_TRUE(plan_grow(*opened.disk, 8 * small_cluster).empty());
    EXPECT_FALSE(plan_grow(*opened.disk, 12 * small_cluster).empty());
}

class DiskLeftOver : public DiskSwitch {
  protected:
    JobFile listed(const std::string& name) { return identify(real_doors().files, folder / name); }
    bool there(const std::string& name) { return std::filesystem::exists(folder / name); }
};

TEST_F(DiskLeftOver, OnlyListedFilesGo) {
    disktool::test::write_file(folder / "made", "x");
    disktool::test::write_file(folder / "foreign", "x");
    disktool::test::write_file(folder / "replaced", "x");
    disktool::test::write_file(folder / "unlisted", "x");
    disktool::test::write_file(folder / "empty", "");
    disktool::test::write_file(folder / "filled", "x");
    DiskJob job;
    job.verb = "snapshot";
    job.made = {listed("made"), listed("replaced"), {folder / "empty", 0, 0}, {folder / "filled", 0, 0}};
    job.made[1].inode += 1;
    job.gone = {listed("root.hds.1"), listed("foreign")};
    write_job(real_doors().files, path, job);
    open_disk(path);
    EXPECT_FALSE(there("made") || there("foreign") || there("empty"));
    EXPECT_TRUE(there("replaced") && there("unlisted") && there("filled"));
    EXPECT_TRUE(there("root.hds.1")); // the descriptor names it
    EXPECT_FALSE(there("DiskDescriptor.xml.disktool-job"));
}

TEST_F(DiskLeftOver, JobsThatCannotBeReadStopAll) {
    for (const char* text :
         {"", "{", "[]", "{\"version\":2}", "{\"version\":1,\"verb\":\"x\",\"made\":[{}]}",
          "{\"version\":1,\"verb\":\"x\",\"made\":7,\"gone\":[],\"changing\":[],\"disk_sectors\":-1}"}) {
        disktool::test::write_file(path + ".disktool-job", text);
        try {
            open_disk(path);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::recovery);
        }
    }
}

TEST_F(DiskLeftOver, TemporaryFilesOfTheOriginalGo) {
    disktool::test::write_file(path + ".tmp", "x");
    disktool::test::write_file(path + ".tmp.tmp", "x");
    open_disk(path);
    expect_tidy(path);
}

} // namespace

} // namespace disktool::ploop::operations_test
