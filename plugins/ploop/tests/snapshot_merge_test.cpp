// SPDX-License-Identifier: LGPL-2.1-or-later
// Deltas become one: by snapshot-merge, and by file names.
#include "made_disk.h"
#include "support/run.h"

#include <algorithm>

namespace disktool::ploop::operations_test {

namespace {

class DiskMerge : public testing::Test {
  protected:
    void SetUp() override { make(Version::v2, Version::v2); }
    /// Base, three snapshots' worth of deltas; the top is letter d.
    void make(Version base, Version upper, bool raw = false) {
        for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
            std::filesystem::remove(entry.path());
        }
        path =
            make_chain(folder.path(), {{.clusters = {0, 1, 2, 9}, .letter = 'a', .version = base, .raw = raw},
                                       {.clusters = {1, 2, 3, 10}, .letter = 'b', .version = upper},
                                       {.clusters = {2, 3, 4, 11}, .letter = 'c', .version = upper},
                                       {.clusters = {3, 4, 5, 12, 13, 14}, .letter = 'd', .version = upper}});
    }
    void merge(const MergeRequest& request) {
        const auto opened = open_disk(path);
        report = run(plan_snapshot_merge(*opened.disk, request));
        lines = *opened.lines;
    }
    Descriptor descriptor() { return Descriptor::load(real_doors().files, path); }
    std::string qemu_letters(const std::string& image) {
        const std::string raw = folder / "by-qemu";
        disktool::test::run_tool({"qemu-img", "convert", "-f", "parallels", "-O", "raw", image, raw});
        const std::string letters = letters_of(disktool::test::read_file(raw));
        std::filesystem::remove(raw);
        return letters;
    }
    std::uint64_t figure(const std::string& name) {
        for (const auto& [known, value] : report.figures) {
            if (known == name) {
                return value;
            }
        }
        return 0;
    }

    TemporaryFolder folder;
    std::string path;
    RunReport report;
    std::vector<std::string> lines;
    const std::string whole = "abcddd...abcddd.";
};

TEST_F(DiskMerge, OfTheTopIsTheDefault) {
    ASSERT_EQ(letters_at(path, Uuid::top()), whole);
    const Contents before = contents_of(path);
    merge({});
    Contents expected = before;
    expected.erase(uuid_of('3').lower());
    EXPECT_EQ(contents_of(path), expected);
    EXPECT_EQ(descriptor().image(Uuid::top())->file, "root.hds.2");
    EXPECT_EQ(figure("clusters_moved"), 6u);
    EXPECT_EQ(lines,
              (std::vector<std::string>{
                  "Offline snapshot merge {5fbaabe3-6958-40ff-92a7-860e329aab41} -> " + uuid_of('3').text(),
                  "Storing " + path + ".tmp",
                  "Merging image: root.hds.3 -> root.hds.2",
                  "Removing " + (folder / "root.hds.3"),
                  "ploop snapshot merged",
              }));
    expect_tidy(path);
}

TEST_F(DiskMerge, OfAMiddleOneKeepsItsUuid) {
    const Contents before = contents_of(path);
    merge({.uuid = uuid_of('2'), .range_end = {}, .new_file = ""});
    Contents expected = before;
    expected.erase(uuid_of('1').lower());
    EXPECT_EQ(contents_of(path), expected);
    EXPECT_EQ(descriptor().image(uuid_of('2'))->file, "root.hds");
    EXPECT_TRUE(descriptor().snapshot(uuid_of('2'))->parent.is_none());
    EXPECT_FALSE(std::filesystem::exists(folder / "root.hds.1"));
    EXPECT_EQ(qemu_letters(folder / "root.hds"), "abbb.....ab.....");
    expect_tidy(path);
}

TEST_F(DiskMerge, OfAllMovesEachClusterOnce) {
    merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
    EXPECT_EQ(contents_of(path), (Contents{{Uuid::top().lower(), whole}}));
    EXPECT_EQ(qemu_letters(folder / "root.hds"), whole);
    EXPECT_EQ(figure("clusters_moved"), 10u); // of 14 that the upper three hold
    expect_tidy(path);
}

TEST_F(DiskMerge, OfARangeInEitherOrder) {
    for (const bool reversed : {false, true}) {
        make(Version::v2, Version::v2);
        const Contents before = contents_of(path);
        const Uuid low = uuid_of('1'), high = uuid_of('3');
        merge({.uuid = reversed ? high : low, .range_end = reversed ? low : high, .new_file = ""});
        EXPECT_EQ(contents_of(path),
                  (Contents{{high.lower(), before.at(high.lower())}, {Uuid::top().lower(), whole}}));
        EXPECT_EQ(descriptor().image(high)->file, "root.hds");
        EXPECT_EQ(figure("clusters_moved"), 6u);
        expect_tidy(path);
    }
}

TEST_F(DiskMerge, IntoANewFile) {
    const Contents before = contents_of(path);
    merge({.uuid = {}, .range_end = {}, .new_file = folder / "new.hds"});
    Contents expected = before;
    expected.erase(uuid_of('3').lower());
    EXPECT_EQ(contents_of(path), expected);
    EXPECT_EQ(descriptor().image(Uuid::top())->file, "new.hds");
    EXPECT_EQ(qemu_letters(folder / "new.hds"), "..cddd.....cddd.");
    EXPECT_NE(std::ranges::find(lines, "Merging images: root.hds.3 root.hds.2 -> (new) new.hds"), lines.end());
    expect_tidy(path);
    merge({.uuid = {}, .range_end = {}, .all = true, .new_file = folder / "all.hds"});
    EXPECT_EQ(contents_of(path), (Contents{{Uuid::top().lower(), whole}}));
    expect_tidy(path);
}

TEST_F(DiskMerge, IntoAFileThatExistsLeavesNothingBehind) {
    disktool::test::write_file(folder / "new.hds", "something");
    const auto opened = open_disk(path);
    const auto names = names_in(folder.path());
    EXPECT_EQ(exit_of([&] {
                  plan_snapshot_merge(*opened.disk,
                                      {.uuid = {}, .range_end = {}, .new_file = folder / "new.hds"});
              }),
              38);
    // One that comes between plan and run, too.
    std::filesystem::remove(folder / "new.hds");
    Plan plan =
        plan_snapshot_merge(*opened.disk, {.uuid = {}, .range_end = {}, .new_file = folder / "new.hds"});
    disktool::test::write_file(folder / "new.hds", "something");
    EXPECT_EQ(exit_of([&] { run(std::move(plan)); }), 38);
    EXPECT_EQ(disktool::test::read_file(folder / "new.hds"), "something");
    EXPECT_EQ(names_in(folder.path()), names);
}

TEST_F(DiskMerge, OfVersionsThatDiffer) {
    for (const bool new_below : {false, true}) {
        make(new_below ? Version::v2 : Version::v1, new_below ? Version::v1 : Version::v2);
        merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
        EXPECT_EQ(letters_at(path, Uuid::top()), whole);
        EXPECT_EQ(qemu_letters(folder / "root.hds"), whole);
        EXPECT_EQ(open_disk(path).disk->open_delta(Uuid::top(), Access::read)->header().version,
                  new_below ? Version::v2 : Version::v1);
        expect_tidy(path);
    }
}

TEST_F(DiskMerge, IntoARawBase) {
    make(Version::v2, Version::v2, true);
    EXPECT_EQ(exit_of([&] {
                  plan_snapshot_merge(*open_disk(path).disk,
                                      {.uuid = {}, .range_end = {}, .all = true, .new_file = folder / "new"});
              }),
              4);
    merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
    EXPECT_EQ(letters_of(disktool::test::read_file(folder / "root.hds")), whole);
    EXPECT_TRUE(lines.front().ends_with(" (raw)"));
    expect_tidy(path);
}

TEST_F(DiskMerge, IntoAnEmptyOneHasTheRightEmptyFlag) {
    TemporaryFolder other;
    const std::string disk = make_chain(other.path(), {{.clusters = {}}, {.clusters = {7}, .letter = 'b'}});
    run(plan_snapshot_merge(*open_disk(disk).disk, {}));
    EXPECT_EQ(open_disk(disk).disk->open_delta(Uuid::top(), Access::read)->header().flags & flag_empty, 0u);
    expect_tidy(disk);
}

TEST_F(DiskMerge, OfALongerTopGrowsTheParent) {
    run(plan_grow(*open_disk(path).disk, 9000 * small_cluster));
    merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
    EXPECT_EQ(letters_at(path, Uuid::top()), whole + std::string(9000 - 16, '.'));
    expect_tidy(path);
}

TEST_F(DiskMerge, OfAShorterTopCutsTheParent) {
    TemporaryFolder other;
    const std::string disk =
        make_chain(other.path(), {{.clusters = {0, 15}}, {.clusters = {1}, .letter = 'b', .disk_clusters = 8}});
    run(plan_snapshot_merge(*open_disk(disk).disk, {}));
    EXPECT_EQ(letters_at(disk, Uuid::top()), "ab......");
    expect_tidy(disk);
}

TEST_F(DiskMerge, WouldNotHideWhatALargerDiskSees) {
    TemporaryFolder other;
    const std::string disk = make_chain(other.path(), {{.clusters = {0, 15}},
                                                       {.clusters = {1}, .letter = 'b', .disk_clusters = 8},
                                                       {.clusters = {2}, .letter = 'c'}});
    const Contents before = contents_of(disk);
    EXPECT_EQ(exit_of([&] {
                  plan_snapshot_merge(*open_disk(disk).disk,
                                      {.uuid = uuid_of('2'), .range_end = {}, .new_file = ""});
              }),
              38);
    EXPECT_EQ(contents_of(disk), before);
}

TEST_F(DiskMerge, RefusesWhatCannotBe) {
    const auto opened = open_disk(path);
    PloopDisk& disk = *opened.disk;
    const auto exit_for = [&](const MergeRequest& request) {
        return exit_of([&] { plan_snapshot_merge(disk, request); });
    };
    EXPECT_EQ(exit_for({.uuid = uuid_of('1'), .range_end = {}, .new_file = ""}), 38); // the base
    EXPECT_EQ(exit_for({.uuid = uuid_of('7'), .range_end = {}, .new_file = ""}), 43);
    EXPECT_EQ(exit_for({.uuid = uuid_of('1'), .range_end = uuid_of('7'), .new_file = ""}), 43);
    EXPECT_EQ(exit_for({.uuid = uuid_of('1'), .range_end = uuid_of('1'), .new_file = ""}), 38);
    EXPECT_EQ(exit_for({.uuid = uuid_of('1'), .range_end = {}, .all = true, .new_file = ""}), 38);
    EXPECT_EQ(exit_for({.uuid = {}, .range_end = uuid_of('1'), .new_file = ""}), 38);
    run(plan_snapshot_switch(disk, {uuid_of('1'), false}));
    const Contents before = contents_of(path);
    EXPECT_EQ(exit_for({}), 38); // the parent has another child
    EXPECT_EQ(exit_for({.uuid = uuid_of('2'), .range_end = Uuid::top(), .new_file = ""}), 38); // no ancestors
    EXPECT_EQ(exit_for({.uuid = {}, .range_end = {}, .all = true, .new_file = ""}), 38);
    EXPECT_EQ(contents_of(path), before);
    TemporaryFolder other;
    const std::string single = make_chain(other.path(), {{.clusters = {0}}});
    EXPECT_EQ(exit_of([&] {
                  plan_snapshot_merge(*open_disk(single).disk,
                                      {.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
              }),
              38);
}

TEST_F(DiskMerge, RefusesClustersOfAnotherSize) {
    std::filesystem::remove(folder / "root.hds.3");
    make_delta(folder / "root.hds.3",
               {.clusters = {1}, .letter = 'd', .disk_clusters = 8, .cluster_sectors = 2 * small_cluster});
    const std::string before = disktool::test::read_file(folder / "root.hds.2");
    EXPECT_EQ(exit_of([&] { plan_snapshot_merge(*open_disk(path).disk, {}); }), 11);
    EXPECT_EQ(disktool::test::read_file(folder / "root.hds.2"), before);
}

// There is no way back once something was moved: the next run goes on.
TEST_F(DiskMerge, StopsWhenItIsCancelled) {
    const Contents before = contents_of(path);
    {
        const auto opened = open_disk(path);
        Plan plan = plan_snapshot_merge(*opened.disk, {});
        CancelToken cancel;
        const auto stop_at_once = [&](std::uint64_t, std::uint64_t) { cancel.cancel(); };
        EXPECT_THROW(run_plan(plan, real_doors(), &cancel, stop_at_once), Error);
    }
    Contents after = contents_of(path);
    after.erase(uuid_of('3').lower());
    for (const auto& [uuid, letters] : after) {
        EXPECT_EQ(letters, before.at(uuid));
    }
    merge({});
    EXPECT_EQ(std::ranges::count_if(lines, [](const auto& line) { return line.starts_with("Finishing"); }), 1);
    EXPECT_EQ(descriptor().snapshots.size(), 3u);
    EXPECT_EQ(letters_at(path, Uuid::top()), whole);
    expect_tidy(path);
}

TEST_F(DiskMerge, OfFilesKeepsThem) {
    const std::string base = folder / "root.hds", middle = folder / "root.hds.1", top = folder / "root.hds.2";
    const Contents before = contents_of(path);
    run(plan_merge_files(real_doors(), {top, middle, base}, "", false, {}));
    EXPECT_EQ(qemu_letters(base), "abccc....abc....");
    EXPECT_EQ(letters_at(path, Uuid::top()), before.at(Uuid::top().lower()));
    EXPECT_EQ(letters_at(path, uuid_of('3')), before.at(uuid_of('3').lower()));
    run(plan_merge_files(real_doors(), {folder / "root.hds.3", top}, folder / "new", false, {}));
    EXPECT_EQ(qemu_letters(folder / "new"), "..cddd.....cddd.");
    EXPECT_EQ(exit_of([&] { plan_merge_files(real_doors(), {top, base}, folder / "new", false, {}); }), 38);
    EXPECT_EQ(exit_of([&] { plan_merge_files(real_doors(), {top, top}, "", false, {}); }), 38);
    EXPECT_EQ(exit_of([&] { plan_merge_files(real_doors(), {top}, "", false, {}); }), 38);
}

} // namespace

} // namespace disktool::ploop::operations_test
