// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk in use: what may be opened, and each verb with nobody writing meanwhile.
#include "image/locks.h"
#include "made_disk.h"
#include "running.h"
#include "running_disk.h"

namespace disktool::ploop::operations_test {

namespace {

const std::vector<MadeDelta> three = {{.clusters = {0, 1, 2}, .letter = 'a'},
                                      {.clusters = {1, 2, 3}, .letter = 'b'},
                                      {.clusters = {2, 3, 4}, .letter = 'c'}};

const Say silent = [](const std::string&) {};

std::unique_ptr<RunningDisk> run_disk(const std::string& descriptor, bool read_only = false,
                                      std::optional<Uuid> uuid = {}) {
    RunningSource source;
    source.descriptor = descriptor;
    source.read_only = read_only;
    source.uuid = uuid;
    return RunningDisk::open(real_doors(), source, silent);
}

std::string letters_of(BlockDevice& device) {
    std::string content(device.size(), '\0');
    device.read(0, std::as_writable_bytes(std::span(content)));
    return operations_test::letters_of(content);
}

void write_letter(RunningDisk& disk, char letter, std::uint64_t cluster) {
    disk.device().write(cluster * cluster_bytes, bytes_of(cluster_of(letter, cluster)));
}

class PloopRunning : public testing::Test {
  protected:
    TemporaryFolder folder;
    std::string path = make_chain(folder.path(), three);
};

TEST_F(PloopRunning, IsMarkedWhileItRuns) {
    auto disk = run_disk(path);
    EXPECT_EQ(letters_of(disk->device()), "abccc...........");
    EXPECT_EQ(disk->images().size(), 3u);
    EXPECT_EQ(disk->uuid(), Uuid::top());
    write_letter(*disk, 'x', 9);
    disk->close();
    disk.reset();
    EXPECT_EQ(letters_at(path, Uuid::top()), "abccc....x......");
    expect_tidy(path);
}

TEST_F(PloopRunning, ADirtyTopIsMendedAndADirtyLowerImageRefused) {
    run_disk(path).reset(); // as a crash leaves it
    auto disk = run_disk(path);
    disk->close();
    disk.reset();
    expect_tidy(path);
    Delta::open(real_doors().files.open(folder / "root.hds.1", {.write = true}), Access::write)->begin();
    Delta::open(real_doors().files.open(folder / "root.hds.2", {.write = true}), Access::write)->begin();
    EXPECT_EQ(exit_of([&] { run_disk(path); }), 7);
}

TEST_F(PloopRunning, OfImagesADirtyTopIsRefused) {
    RunningSource source;
    source.images = {folder / "root.hds", folder / "root.hds.1", folder / "root.hds.2"};
    RunningDisk::open(real_doors(), source, silent).reset();
    EXPECT_EQ(exit_of([&] { RunningDisk::open(real_doors(), source, silent); }), 37);
}

TEST_F(PloopRunning, ASnapshotIsReadBesideTheRunningTop) {
    auto disk = run_disk(path);
    const auto snapshot = run_disk(path, true, uuid_of('1'));
    EXPECT_TRUE(snapshot->read_only());
    EXPECT_EQ(letters_of(snapshot->device()), "aaa.............");
    EXPECT_FALSE(snapshot->device().writable());
    // The top itself has one writer.
    EXPECT_EQ(exit_of([&] { run_disk(path); }), 37);
    EXPECT_EQ(exit_of([&] { run_disk(path, true); }), 37);
    disk->close();
}

TEST_F(PloopRunning, SnapshotTakesTheWritesBeforeIt) {
    auto disk = run_disk(path);
    write_letter(*disk, 'x', 9);
    bool frozen = false;
    Freezer freezer{[&] { frozen = true; }, [&] { frozen = false; }};
    const auto done = disk->snapshot({.request = {.uuid = uuid_of('7'), .bitmap = {}}}, freezer, silent);
    EXPECT_FALSE(frozen);
    EXPECT_EQ(done.uuid, uuid_of('7'));
    write_letter(*disk, 'y', 9);
    write_letter(*disk, 'y', 0);
    EXPECT_EQ(letters_of(disk->device()), "ybccc....y......");
    EXPECT_EQ(disk->images().back(), done.file);
    disk->close();
    disk.reset();
    EXPECT_EQ(letters_at(path, uuid_of('7')), "abccc....x......");
    EXPECT_EQ(letters_at(path, Uuid::top()), "ybccc....y......");
    expect_tidy(path);
}

TEST_F(PloopRunning, SnapshotOfImagesIsANewTopWithANameOfItsOwn) {
    RunningSource source;
    source.images = {folder / "root.hds", folder / "root.hds.1", folder / "root.hds.2"};
    auto disk = RunningDisk::open(real_doors(), source, silent);
    write_letter(*disk, 'x', 9);
    const auto snapshot = [&](const std::string& file) {
        return disk->snapshot({.request = {}, .temporary = false, .new_file = file}, {}, silent);
    };
    EXPECT_EQ(exit_of([&] { snapshot(""); }), 38);
    EXPECT_EQ(exit_of([&] { snapshot(folder / "root.hds"); }), 38) << "which is there";
    EXPECT_TRUE(snapshot(folder / "new").uuid.is_none());
    write_letter(*disk, 'y', 9);
    EXPECT_EQ(disk->images().back(), folder / "new");
    disk->close();
    disk.reset();
    source.read_only = true;
    EXPECT_EQ(letters_of(RunningDisk::open(real_doors(), source, silent)->device()), "abccc....x......");
    source.images.push_back(folder / "new");
    EXPECT_EQ(letters_of(RunningDisk::open(real_doors(), source, silent)->device()), "abccc....y......");
}

TEST_F(PloopRunning, SnapshotTakesTheFileThatIsNamed) {
    auto disk = run_disk(path);
    disk->snapshot(
        {.request = {.uuid = uuid_of('7'), .bitmap = {}}, .temporary = false, .new_file = folder / "new"}, {},
        silent);
    disk->close();
    disk.reset();
    EXPECT_EQ(Descriptor::load(real_doors().files, path).image(Uuid::top())->file, "new");
    EXPECT_EQ(letters_at(path, uuid_of('7')), "abccc...........");
    expect_tidy(path);
}

TEST_F(PloopRunning, SaysWhatTheOriginalSays) {
    auto disk = run_disk(path);
    std::vector<std::string> lines;
    const auto done =
        disk->snapshot({.request = {.uuid = uuid_of('7'), .bitmap = {}}}, {.device = "/dev/ploop0"},
                       [&](const std::string& line) { lines.push_back(line); });
    EXPECT_EQ(lines, (std::vector<std::string>{
                         "Adding snapshot {5fbaabe3-6958-40ff-92a7-860e329aab41}",
                         "Storing " + path + ".tmp",
                         "Creating delta " + done.file + " bs=64 size=1024 sectors v2",
                         "Creating snapshot dev=/dev/ploop0 img=" + done.file,
                         "ploop snapshot " + uuid_of('7').text() + " has been successfully created",
                     }));
    disk->close();
}

TEST_F(PloopRunning, TemporarySnapshotsGoWhenItIsTakenIntoUseForWriting) {
    Descriptor descriptor = Descriptor::load(real_doors().files, path);
    descriptor.set_temporary(uuid_of('1'), true);
    descriptor.store(real_doors().files, path);
    const auto snapshots = [&] { return Descriptor::load(real_doors().files, path).snapshots.size(); };
    run_disk(path, true)->close();
    run_disk(path, true, uuid_of('2'))->close();
    EXPECT_EQ(snapshots(), 3u) << "who only reads changes nothing";
    run_disk(path).reset(); // as a crash leaves it: the top is dirty at the next mount
    EXPECT_EQ(snapshots(), 2u);
    descriptor = Descriptor::load(real_doors().files, path);
    descriptor.set_temporary(uuid_of('2'), true);
    descriptor.store(real_doors().files, path);
    auto disk = run_disk(path);
    EXPECT_EQ(disk->images().size(), 1u);
    EXPECT_EQ(letters_of(disk->device()), "abccc...........");
    disk->close();
    disk.reset();
    expect_tidy(path);
}

TEST(PloopRunningCompact, TellsWhatWasMovedAndWhatWasCutOff) {
    TemporaryFolder folder;
    const std::string path = make_chain(folder.path(), {{.clusters = {0, 1, 2, 3}, .letter = 'a'}});
    auto disk = run_disk(path);
    const auto compact_without = [&](std::uint64_t cluster) {
        disk->device().discard({cluster * cluster_bytes, cluster_bytes});
        const auto done = disk->compact({});
        return std::pair(done.clusters_moved, done.bytes_cut / cluster_bytes);
    };
    EXPECT_EQ(compact_without(1), std::pair(1ul, 1ul)) << "the last one went where it was";
    EXPECT_EQ(compact_without(2), std::pair(0ul, 1ul)) << "it was the last one";
    EXPECT_EQ(letters_of(disk->device()), "a..a............");
    disk->close();
}

} // namespace

} // namespace disktool::ploop::operations_test
