// SPDX-License-Identifier: LGPL-2.1-or-later
// Another file for an image, and a descriptor for an image.
#include "made_disk.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::read_file;

class DiskReplace : public testing::Test {
  protected:
    void SetUp() override {
        path =
            make_chain(folder.path(), {{.clusters = {0, 1}, .letter = 'a'}, {.clusters = {1}, .letter = 'b'}});
        std::filesystem::copy_file(folder / "root.hds", folder / "copy");
    }
    void replace(const ReplaceRequest& request) { run(plan_replace(*open_disk(path).disk, request)); }
    /// The exit code of trying to; nothing has changed then.
    int refusal(const ReplaceRequest& request, std::string* sentence = nullptr) {
        const std::string before = read_file(path) + read_file(folder / "root.hds");
        const int exit = exit_of([&] { replace(request); }, sentence);
        EXPECT_EQ(read_file(path) + read_file(folder / "root.hds"), before);
        return exit;
    }
    std::string file_of(const Uuid& uuid) {
        return Descriptor::load(real_doors().files, path).image(uuid)->file;
    }
    TemporaryFolder folder;
    std::string path;
};

TEST_F(DiskReplace, ByUuidChangesTheDescriptor) {
    replace({.uuid = uuid_of('1'), .new_file = folder / "copy"});
    EXPECT_EQ(file_of(uuid_of('1')), "copy");
    EXPECT_TRUE(std::filesystem::exists(folder / "root.hds"));
    EXPECT_EQ(letters_at(path, Uuid::top()), "ab..............");
}

TEST_F(DiskReplace, ByFileKeepingTheName) {
    const auto inode = real_doors().files.status(folder / "copy", true)->inode;
    replace({.current_file = folder / "root.hds", .new_file = folder / "copy", .keep_name = true});
    EXPECT_EQ(file_of(uuid_of('1')), "root.hds");
    EXPECT_EQ(real_doors().files.status(folder / "root.hds", true)->inode, inode);
    expect_tidy(path);
}

TEST_F(DiskReplace, ByLevelCountedFromTheBase) {
    replace({.level = 0, .new_file = folder / "copy"});
    EXPECT_EQ(file_of(uuid_of('1')), "copy");
    std::filesystem::copy_file(folder / "root.hds.1", folder / "copy1");
    replace({.level = 1, .new_file = folder / "copy1"});
    EXPECT_EQ(file_of(Uuid::top()), "copy1");
    std::string sentence;
    EXPECT_EQ(refusal({.level = 2, .new_file = folder / "root.hds"}, &sentence), 38);
    EXPECT_THAT(sentence, testing::HasSubstr("0 (the base) to 1 (the top)"));
}

TEST_F(DiskReplace, RefusesWhatIsNoCopy) {
    make_delta(folder / "longer", {.clusters = {0, 1, 2}, .letter = 'a'});
    make_delta(folder / "older", {.clusters = {0, 1}, .letter = 'a', .version = Version::v1});
    for (const char* name : {"longer", "older"}) {
        EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / name}), 11) << name;
    }
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / "nothing"}), 38);
    EXPECT_EQ(refusal({.uuid = uuid_of('7'), .new_file = folder / "copy"}), 43);
    EXPECT_EQ(refusal({.current_file = folder / "other", .new_file = folder / "copy"}), 38);
    EXPECT_EQ(refusal({.new_file = folder / "copy"}), 38);
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .level = 0, .new_file = folder / "copy"}), 38);
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / "root.hds"}), 38);
    TemporaryFolder outside;
    std::filesystem::copy_file(folder / "copy", outside / "copy");
    try {
        replace({.uuid = uuid_of('1'), .new_file = outside / "copy"});
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.reason(), Reason::backing_outside_gate);
    }
}

TEST_F(DiskReplace, ComparesAllThatTheGuestSees) {
    // One byte, far in: size, header and BAT are the same.
    const auto file = real_doors().files.open(folder / "copy", {.write = true});
    const std::uint64_t place =
        *Delta::open(real_doors().files.open(folder / "copy", {}), Access::read)->place(1);
    file->write(place + 777, bytes_of("?"));
    std::string sentence;
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / "copy"}, &sentence), 11);
    EXPECT_THAT(sentence, testing::HasSubstr(fmt::format("differ at offset {}", cluster_bytes + 777)));
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / "copy", .keep_name = true}), 11);
    const auto opened = open_disk(path);
    const Plan plan = plan_replace(*opened.disk, {.uuid = uuid_of('1'), .new_file = folder / "copy"});
    EXPECT_EQ(plan.cost().read, 4 * cluster_bytes);
}

TEST_F(DiskReplace, WhereTheClustersLieInTheFileIsOfNoConcern) {
    std::filesystem::remove(folder / "copy");
    make_delta(folder / "copy", {.clusters = {1, 0}, .letter = 'a'});
    replace({.uuid = uuid_of('1'), .new_file = folder / "copy"});
    EXPECT_EQ(letters_at(path, Uuid::top()), "ab..............");
    make_delta(folder / "moved", {.clusters = {0, 2}, .letter = 'a'});
    std::string sentence;
    EXPECT_EQ(refusal({.uuid = uuid_of('1'), .new_file = folder / "moved"}, &sentence), 11);
    EXPECT_THAT(sentence, testing::HasSubstr(fmt::format("differ at offset {}", cluster_bytes)));
}

TEST_F(DiskReplace, AClusterOfZerosHidesWhatLiesBelow) {
    const auto with_zeros = [&](const std::string& name, std::vector<std::uint64_t> letters,
                                std::uint64_t zero) {
        make_delta(folder / name, {.clusters = std::move(letters), .letter = 'b'});
        const auto delta = Delta::open(real_doors().files.open(folder / name, {.write = true}), Access::write);
        delta->begin();
        const std::vector<std::byte> zeros(cluster_bytes);
        delta->allocate(zero, zeros);
        delta->end();
    };
    // The top holds b in 1, and zeros in 4 or in 5.
    std::filesystem::remove(folder / "root.hds.1");
    with_zeros("root.hds.1", {1}, 4);
    with_zeros("other", {1}, 5);
    std::string sentence;
    EXPECT_EQ(refusal({.level = 1, .new_file = folder / "other"}, &sentence), 11);
    EXPECT_THAT(sentence, testing::HasSubstr("cluster 4"));
    // Of a base they are what is not there as well.
    std::filesystem::remove(folder / "root.hds");
    std::filesystem::remove(folder / "other");
    with_zeros("root.hds", {0}, 4);
    with_zeros("other", {0}, 5);
    replace({.level = 0, .new_file = folder / "other"});
    EXPECT_EQ(file_of(uuid_of('1')), "other");
}

TEST_F(DiskReplace, OfARawImage) {
    TemporaryFolder raw;
    const std::string disk = make_chain(
        raw.path(), {{.clusters = {0, 15}, .letter = 'r', .raw = true}, {.clusters = {1}, .letter = 'b'}});
    std::filesystem::copy_file(raw / "root.hds", raw / "copy");
    const auto opened = open_disk(disk);
    run(plan_replace(*opened.disk, {.level = 0, .new_file = raw / "copy"}));
    EXPECT_EQ(letters_at(disk, Uuid::top()), "rb.............r");
    real_doors().files.open(raw / "root.hds", {.write = true})->write(15 * cluster_bytes, bytes_of("?"));
    std::string sentence;
    EXPECT_EQ(exit_of([&] { run(plan_replace(*opened.disk, {.level = 0, .new_file = raw / "root.hds"})); },
                      &sentence),
              11);
    EXPECT_THAT(sentence, testing::HasSubstr(fmt::format("differ at offset {}", 15 * cluster_bytes)));
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
