// SPDX-License-Identifier: LGPL-2.1-or-later
// Another file for an image, and a descriptor for an image.
#include "made_disk.h"

namespace disktool::ploop::operations_test {

namespace {

class DiskReplace : public testing::Test {
  protected:
    void SetUp() override {
        path =
            make_chain(folder.path(), {{.clusters = {0, 1}, .letter = 'a'}, {.clusters = {1}, .letter = 'b'}});
        std::filesystem::copy_file(folder / "root.hds", folder / "copy");
    }
    std::string file_of(const Uuid& uuid) {
        return Descriptor::load(real_doors().files, path).image(uuid)->file;
    }
    TemporaryFolder folder;
    std::string path;
};

TEST_F(DiskReplace, ByUuidChangesTheDescriptor) {
    run(plan_replace(*open_disk(path).disk, {uuid_of('1'), "", folder / "copy", false}));
    EXPECT_EQ(file_of(uuid_of('1')), "copy");
    EXPECT_TRUE(std::filesystem::exists(folder / "root.hds"));
    EXPECT_EQ(letters_at(path, Uuid::top()), "ab..............");
}

TEST_F(DiskReplace, ByFileKeepingTheName) {
    const auto inode = real_doors().files.status(folder / "copy", true)->inode;
    run(plan_replace(*open_disk(path).disk, {{}, folder / "root.hds", folder / "copy", true}));
    EXPECT_EQ(file_of(uuid_of('1')), "root.hds");
    EXPECT_EQ(real_doors().files.status(folder / "root.hds", true)->inode, inode);
    expect_tidy(path);
}

TEST_F(DiskReplace, RefusesWhatIsNoCopy) {
    const auto opened = open_disk(path);
    const auto exit_for = [&](const ReplaceRequest& request) {
        return exit_of([&] { plan_replace(*opened.disk, request); });
    };
    make_delta(folder / "longer", {.clusters = {0, 1, 2}, .letter = 'a'});
    make_delta(folder / "swapped",
               {.clusters = {1, 0}, .letter = 'a'}); // the same size and header, another BAT
    make_delta(folder / "older", {.clusters = {0, 1}, .letter = 'a', .version = Version::v1});
    for (const char* name : {"longer", "swapped", "older"}) {
        EXPECT_EQ(exit_for({uuid_of('1'), "", folder / name, false}), 11) << name;
    }
    EXPECT_EQ(exit_for({uuid_of('1'), "", folder / "nothing", false}), 38);
    EXPECT_EQ(exit_for({uuid_of('7'), "", folder / "copy", false}), 43);
    EXPECT_EQ(exit_for({{}, folder / "other", folder / "copy", false}), 38);
    EXPECT_EQ(exit_for({{}, "", folder / "copy", false}), 38);
    EXPECT_EQ(exit_for({uuid_of('1'), "", folder / "root.hds", false}), 38);
    TemporaryFolder outside;
    std::filesystem::copy_file(folder / "copy", outside / "copy");
    try {
        plan_replace(*opened.disk, {uuid_of('1'), "", outside / "copy", false});
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.reason(), Reason::backing_outside_gate);
    }
}

class DiskRestore : public testing::Test {
  protected:
    Descriptor restore(const RestoreRequest& request) {
        Plan plan = plan_restore_descriptor(real_doors(), request, [](const std::string&) {});
        run(std::move(plan));
        return Descriptor::load(real_doors().files, folder / "DiskDescriptor.xml");
    }
    TemporaryFolder folder;
};

TEST_F(DiskRestore, OfAnImage) {
    make_delta(folder / "image", {.clusters = {3}, .letter = 'a'});
    restore({folder.path().string(), folder / "image", false, 0});
    EXPECT_EQ(letters_at(folder / "DiskDescriptor.xml", Uuid::top()), "...a............");
    EXPECT_EQ(exit_of([&] { restore({folder.path().string(), folder / "image", false, 0}); }), 38);
}

TEST_F(DiskRestore, OfAnImageElsewhereNamesItsWholePath) {
    TemporaryFolder other;
    make_delta(other / "image", {.clusters = {3}, .letter = 'a'});
    EXPECT_EQ(restore({folder.path().string(), other / "image", false, 0}).images.front().file,
              other / "image");
}

TEST_F(DiskRestore, OfARawImageFindsTheClusterSize) {
    for (const auto& [size, cluster] :
         {std::pair(3 << 20, 2048u), {(3 << 20) + (64 << 10), 128u}, {96 << 10, 64u}}) {
        std::filesystem::remove(folder / "DiskDescriptor.xml");
        disktool::test::write_file(folder / "raw", std::string(static_cast<std::size_t>(size), 'x'));
        const Descriptor descriptor = restore({folder.path().string(), folder / "raw", true, 0});
        EXPECT_EQ(descriptor.cluster_sectors, cluster);
        EXPECT_EQ(descriptor.disk_sectors, static_cast<std::uint64_t>(size) / sector_size);
        EXPECT_EQ(descriptor.mode, DiskMode::raw);
    }
}

TEST_F(DiskRestore, RefusesWhatIsNoImage) {
    disktool::test::write_file(folder / "raw", std::string(100'000, 'x'));
    EXPECT_EQ(exit_of([&] { restore({folder.path().string(), folder / "raw", true, 0}); }), 38);
    EXPECT_EQ(exit_of([&] { restore({folder.path().string(), folder / "raw", false, 0}); }), 4);
    EXPECT_EQ(exit_of([&] { restore({folder.path().string(), folder / "missing", false, 0}); }), 4);
    disktool::test::write_file(folder / "raw", std::string(1 << 20, 'x'));
    EXPECT_EQ(exit_of([&] { restore({folder.path().string(), folder / "raw", true, 100}); }), 38);
    EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"raw"}));
}

} // namespace

} // namespace disktool::ploop::operations_test
