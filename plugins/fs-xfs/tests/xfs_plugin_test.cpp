// SPDX-License-Identifier: LGPL-2.1-or-later
// Recognition, and what is told of a file system, against blkid and xfs_db.
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <array>

namespace disktool::xfs::test {

namespace dt = disktool::test;

namespace {

std::string blkid(const std::string& path, const std::string& tag) {
    std::string value = dt::result_of({"blkid", "-p", "-o", "value", "-s", tag, path}).output;
    while (value.ends_with('\n'))
        value.pop_back();
    return value;
}

template <class T>
T detail(const Details& details, const std::string& name) {
    for (const auto& [key, value] : details)
        if (key == name)
            return std::get<T>(value);
    throw std::runtime_error("no detail " + name);
}

} // namespace

class Kind : public testing::TestWithParam<Recipe> {};

TEST_P(Kind, IsToldAsBlkidTellsIt) {
    MadeFilesystem made(GetParam());
    Opened opened(made.path());
    const bool version_5 = made.superblock().features.has_checksums();
    EXPECT_EQ(Plugin().probe(opened.device), version_5 ? 100 : 90);
    EXPECT_EQ(opened->type(), blkid(made.path(), "TYPE"));
    const FilesystemUsage usage = opened->usage();
    EXPECT_EQ(usage.label, blkid(made.path(), "LABEL"));
    EXPECT_EQ(usage.uuid, blkid(made.path(), "UUID"));
    EXPECT_EQ(usage.block_size, made.number("sb 0", "blocksize"));
    EXPECT_EQ(usage.size, made.number("sb 0", "dblocks") * usage.block_size);
    EXPECT_EQ(usage.free, made.number("sb 0", "fdblocks") * usage.block_size);

    const Details details = opened->details();
    EXPECT_EQ(detail<std::uint64_t>(details, "version"), version_5 ? 5u : 4u);
    EXPECT_EQ(detail<std::string>(details, "log"), "internal");
    EXPECT_EQ(detail<std::uint64_t>(details, "log_bytes"), made.number("sb 0", "logblocks") * usage.block_size);
    EXPECT_EQ(detail<std::string>(details, "state"), "clean");
    EXPECT_EQ(detail<std::uint64_t>(details, "sector_bytes"), made.number("sb 0", "sectsize"));
    EXPECT_EQ(detail<std::uint64_t>(details, "inode_bytes"), made.number("sb 0", "inodesize"));
    EXPECT_EQ(detail<std::uint64_t>(details, "inodes"), made.number("sb 0", "icount"));
    EXPECT_EQ(detail<std::uint64_t>(details, "inodes_free"), made.number("sb 0", "ifree"));
    EXPECT_EQ(detail<std::uint64_t>(details, "groups"), made.number("sb 0", "agcount"));

    const MinimumSize minimum = opened->minimum_size();
    EXPECT_EQ(minimum.bytes, usage.size);
    EXPECT_EQ(minimum.reason, Reason::filesystem_cannot_shrink);
    EXPECT_EQ(opened->can_shrink(), Reason::filesystem_cannot_shrink);
    EXPECT_EQ(opened->can_grow(), Reason::none);
    EXPECT_FALSE(opened->resizes_natively());
}

INSTANTIATE_TEST_SUITE_P(Kinds, Kind,
                         testing::Values(Recipe{"v5", 64, "-L one -l size=8m"},
                                         Recipe{"v4", 64, "-m crc=0 -L two -l size=8m"},
                                         Recipe{"long_label", 64, "-L twelve-chars -l size=8m"},
                                         Recipe{"v5_64k", 256, "-b size=65536 -L \xc3\xa4"}),
                         [](const auto& test) { return test.param.name; });

TEST(Details, NameFeaturesAndStripes) {
    MadeFilesystem made({"v5", 320, "-m rmapbt=1 -d su=64k,sw=4 -l su=32k"});
    const Details details = Opened(made.path())->details();
    const std::string features = detail<std::string>(details, "features");
    for (const char* feature :
         {"crc", "finobt", "rmapbt", "reflink", "inobtcount", "ftype", "sparse", "bigtime"})
        EXPECT_NE(features.find(feature), std::string::npos) << feature << " in " << features;
    EXPECT_EQ(features.find("_bit_"), std::string::npos) << features;
    EXPECT_EQ(detail<std::uint64_t>(details, "stripe_unit_bytes"), 64 * KiB);
    EXPECT_EQ(detail<std::uint64_t>(details, "stripe_width_bytes"), 256 * KiB);
    EXPECT_EQ(detail<std::uint64_t>(details, "log_stripe_unit_bytes"), 32 * KiB);
    MadeFilesystem old({"v4", 64, "-m crc=0 -l size=8m"});
    const std::string old_features = detail<std::string>(Opened(old.path())->details(), "features");
    EXPECT_NE(old_features.find("lazy-count"), std::string::npos) << old_features;
    EXPECT_EQ(old_features.find("_bit_"), std::string::npos) << old_features;
}

// Its free space is known; but only with the other device could it be mounted, and so grow.
TEST(Realtime, IsReadButDoesNotGrow) {
    dt::TemporaryFolder folder;
    const std::string other = folder / "realtime.img";
    dt::write_file(other, "");
    std::filesystem::resize_file(other, 64 * MiB);
    MadeFilesystem made({"realtime", 64, ("-m reflink=0 -l size=8m -r rtdev=" + other + ",size=64m").c_str()});
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_EQ(opened->free_extents().total() > 0, true);
    EXPECT_EQ(opened->can_grow(), Reason::several_devices);
    EXPECT_EQ(detail<std::uint64_t>(opened->details(), "realtime_bytes"), 64 * MiB);
}

TEST(Probe, IsZeroForWhatIsNotXfs) {
    dt::MemoryDevice zeros(1 * MiB);
    EXPECT_EQ(Plugin().probe(zeros), 0);
    dt::MemoryDevice tiny(511);
    EXPECT_EQ(Plugin().probe(tiny), 0);
    dt::MemoryDevice nothing(0);
    EXPECT_EQ(Plugin().probe(nothing), 0);
    // The magic number alone, in the midst of other data.
    dt::MemoryDevice chance(1 * MiB);
    chance.write(0, std::vector<std::byte>(4096, std::byte{0x5a}));
    chance.write(0, std::array{std::byte{'X'}, std::byte{'F'}, std::byte{'S'}, std::byte{'B'}});
    EXPECT_EQ(Plugin().probe(chance), 0);
    try {
        Plugin().open(zeros);
        FAIL() << "opened a device of zeros";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unsupported);
        EXPECT_EQ(error.reason(), Reason::filesystem_not_supported);
    }
}

} // namespace disktool::xfs::test
