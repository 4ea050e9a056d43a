// SPDX-License-Identifier: LGPL-2.1-or-later
// Recognition, and what is told of a file system, against blkid and dumpe2fs.
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/disk_text.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace disktool::ext4::test {

namespace dt = disktool::test;

namespace {

std::string blkid(const std::string& path, const std::string& tag) {
    std::string value = dt::run_tool({"blkid", "-p", "-o", "value", "-s", tag, path});
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

std::string text(const std::string& bytes) {
    return disk_text({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

} // namespace

class Kind : public testing::TestWithParam<Recipe> {};

TEST_P(Kind, IsToldAsBlkidTellsIt) {
    MadeFilesystem made(GetParam());
    Opened opened(made.path());
    EXPECT_GE(Plugin().probe(opened.device), 90);
    EXPECT_EQ(opened->type(), blkid(made.path(), "TYPE"));
    const FilesystemUsage usage = opened->usage();
    EXPECT_EQ(usage.label, blkid(made.path(), "LABEL"));
    EXPECT_EQ(usage.uuid, blkid(made.path(), "UUID"));
    EXPECT_EQ(usage.block_size, std::stoull(made.header("Block size")));
    EXPECT_EQ(usage.size, std::stoull(made.header("Block count")) * usage.block_size);
    EXPECT_EQ(usage.free, std::stoull(made.header("Free blocks")) * usage.block_size);
    EXPECT_EQ(detail<std::string>(opened->details(), "features"), made.header("Filesystem features"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Kind,
                         testing::Values(Recipe{"ext2", 20000, "-t ext2 -L one"},
                                         Recipe{"ext3", 20000, "-t ext3 -L two"},
                                         Recipe{"ext4", 20000, "-t ext4 -L three"},
                                         Recipe{"ext2_meta_bg", 20000, "-t ext2 -O meta_bg,^resize_inode"},
                                         Recipe{"ext3_with_extents", 20000, "-t ext3 -O extent"},
                                         Recipe{"ext4_no_journal", 20000, "-t ext4 -O ^has_journal"},
                                         Recipe{"ext2_with_uninit_bg", 20000, "-t ext2 -O uninit_bg"},
                                         Recipe{"ext4_odd_size", 20003, "-t ext4 -b 1024 -L \xc3\xa4"}),
                         [](const auto& test) { return test.param.name; });

TEST(Details, NameJournalReserveAndInodes) {
    MadeFilesystem made({"ext4", 40000, "-t ext4 -b 1024 -m 10 -M /srv/data"});
    const Details details = Opened(made.path())->details();
    EXPECT_EQ(detail<std::string>(details, "journal"), "internal");
    EXPECT_EQ(detail<std::string>(details, "state"), "clean");
    EXPECT_EQ(detail<std::string>(details, "last_mounted_on"), "/srv/data");
    EXPECT_EQ(detail<std::uint64_t>(details, "reserved_bytes"), 4000 * KiB);
    EXPECT_EQ(detail<std::uint64_t>(details, "inodes"), std::stoull(made.header("Inode count")));
    EXPECT_EQ(detail<std::uint64_t>(details, "inodes_free"), std::stoull(made.header("Free inodes")));

    MadeFilesystem plain({"ext2", 20000, "-t ext2"});
    EXPECT_EQ(detail<std::string>(Opened(plain.path())->details(), "journal"), "none");
}

TEST(Probe, IsZeroForWhatIsNotExt) {
    dt::MemoryDevice zeros(1 * MiB);
    EXPECT_EQ(Plugin().probe(zeros), 0);
    dt::MemoryDevice tiny(2047);
    EXPECT_EQ(Plugin().probe(tiny), 0);
    dt::MemoryDevice nothing(0);
    EXPECT_EQ(Plugin().probe(nothing), 0);
    // The magic number alone, in the midst of other data.
    dt::MemoryDevice chance(1 * MiB);
    chance.write(0, std::vector<std::byte>(4096, std::byte{0x5a}));
    chance.write(1080, std::array{std::byte{0x53}, std::byte{0xef}});
    EXPECT_EQ(Plugin().probe(chance), 0);
    try {
        Plugin().open(zeros);
        FAIL() << "opened a device of zeros";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unsupported);
        EXPECT_EQ(error.reason(), Reason::filesystem_not_supported);
    }
}

TEST(DiskText, KeepsTextAndDefusesTheRest) {
    EXPECT_EQ(text("root"), "root");
    EXPECT_EQ(text(std::string("ab\0cd", 5)), "ab");
    EXPECT_EQ(text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
              "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    EXPECT_EQ(text("\x1b[2J\n"), "?[2J?");
    EXPECT_EQ(text("\xc2\x9b"), "??");           // a C1 control sequence introducer
    EXPECT_EQ(text("\xff\xfe"), "??");           // never in UTF-8
    EXPECT_EQ(text("\xc3"), "?");                // cut short
    EXPECT_EQ(text("\xc0\xaf"), "??");           // overlong
    EXPECT_EQ(text("\xe0\x80\xaf"), "???");      // overlong
    EXPECT_EQ(text("\xed\xa0\x80"), "???");      // a surrogate
    EXPECT_EQ(text("\xf4\x90\x80\x80"), "????"); // beyond Unicode
}

TEST(Uuid, IsEmptyWhenThereIsNone) {
    MadeFilesystem made({"ext2", 20000, "-t ext2 -U 00000000-0000-0000-0000-000000000000"});
    EXPECT_EQ(Opened(made.path())->usage().uuid, "");
}

} // namespace disktool::ext4::test
