// SPDX-License-Identifier: LGPL-2.1-or-later
// The free map against an independent one (xfs_db), and by destroying all that it calls free.
#include "made_filesystem.h"

#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

namespace disktool::xfs::test {

namespace dt = disktool::test;

namespace {

/// "agno agbno length" lines of `xfs_db -c "freesp -d"`, with what the AGFLs hold taken away.
ExtentSet dumped_free_extents(const MadeFilesystem& made) {
    const Superblock super = made.superblock();
    std::vector<Range> free;
    std::vector<Range> reserved;
    std::istringstream lines(made.look({"freesp -d"}));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::uint32_t group = 0;
        std::uint64_t block = 0, length = 0;
        if (fields >> group >> block >> length && fields.eof())
            free.push_back({super.offset(group, block), length * super.block_size});
        else if (line.find("from") != std::string::npos)
            break; // the histogram
    }
    for (std::uint32_t group = 0; group < super.groups; ++group) {
        const std::uint64_t first = made.number(fmt::format("agf {}", group), "flfirst");
        const std::uint64_t count = made.number(fmt::format("agf {}", group), "flcount");
        const std::uint64_t header = super.features.has_checksums() ? 36 : 0;
        const std::uint64_t capacity = (super.sector_size - header) / 4;
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::string line =
                made.look({fmt::format("agfl {}", group), fmt::format("p bno[{}]", (first + i) % capacity)});
            const std::string value = line.substr(line.find_first_of("=:") + 1);
            const std::uint64_t block = std::stoull(value.substr(value.find(':') + 1));
            reserved.push_back({super.offset(group, block), super.block_size});
        }
    }
    return ExtentSet::from_unsorted(std::move(free)).subtract(ExtentSet::from_unsorted(std::move(reserved)));
}

/// Adds up what is read.
class CountedDevice : public dt::FileDevice {
  public:
    using FileDevice::FileDevice;
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        bytes += buffer.size();
        FileDevice::read(offset, buffer);
    }
    std::uint64_t bytes = 0;
};

} // namespace

class FreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(FreeMap, IsExactAndNothingInItIsNeeded) {
    MadeFilesystem made(GetParam(), 120);
    Opened opened(made.path());
    ASSERT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_EQ(opened->usage().free, made.number("sb 0", "fdblocks") * opened->usage().block_size);
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free, dumped_free_extents(made));
    EXPECT_LE(free.total(), opened->usage().free);
    EXPECT_LE(free.span().end(), opened->usage().size);

    const bool mountable = made.superblock().features.has_checksums();
    std::string sums;
    if (mountable) {
        sums = sums_of_files(made.path(), made.beside("mnt"));
        EXPECT_GT(sums.size(), 50 * 64u);
    } else {
        const ExtentSet files = made.extents_of_files();
        EXPECT_GT(files.total(), 60 * 20000u);
        EXPECT_TRUE(files.intersect(free).empty());
    }
    overwrite(made.path(), free);
    EXPECT_TRUE(repair_clean(made.path()));
    if (mountable) {
        EXPECT_EQ(sums_of_files(made.path(), made.beside("mnt")), sums);
    }
    EXPECT_EQ(Opened(made.path())->free_extents(), free);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FreeMap,
    testing::Values(
        Recipe{"default_5", 300, ""}, Recipe{"v4", 64, "-m crc=0 -l size=8m"},
        Recipe{"v4_log_1", 64, "-m crc=0 -l version=1,size=8m"},
        Recipe{"v4_no_lazy_count", 64, "-m crc=0 -l lazy-count=0,size=8m"},
        Recipe{"v4_ftype", 64, "-m crc=0 -n ftype=1 -i projid32bit=0,attr=2 -l size=8m"},
        Recipe{"v4_512", 64, "-m crc=0 -b size=512 -l size=8m"},
        Recipe{"v4_1k", 64, "-m crc=0 -b size=1024 -l size=8m"},
        Recipe{"v4_64k", 256, "-m crc=0 -b size=65536"},
        Recipe{"v4_sector_4k", 64, "-m crc=0 -s size=4096 -l size=8m"},
        Recipe{"v5_1k", 64, "-b size=1024 -l size=8m"}, Recipe{"v5_2k", 64, "-b size=2048 -l size=8m"},
        Recipe{"v5_64k", 256, "-b size=65536"}, Recipe{"v5_sector_4k", 128, "-s size=4096"},
        Recipe{"v5_sector_32k", 256, "-b size=32768 -s size=32768"},
        Recipe{"v5_plain", 64, "-m finobt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0 -l size=8m"},
        Recipe{"v5_rmapbt", 128, "-m rmapbt=1 -d agcount=2"},
        Recipe{"v5_nrext64", 128, "-i nrext64=1 -l size=16m"}, Recipe{"v5_many_groups", 256, "-d agcount=16"},
        Recipe{"v5_one_group", 64, "-d agcount=1 -l size=8m"},
        Recipe{"v5_odd_size", 310, "-d size=314159k -b size=1024"},
        Recipe{"v5_striped", 256, "-d su=64k,sw=4 -l su=64k"}, Recipe{"v5_log_stripe_256k", 256, "-l su=256k"},
        Recipe{"v5_inode_2k", 128, "-i size=2048 -l size=16m"},
        Recipe{"v5_log_in_group_0", 128, "-l agnum=0,size=16m"}),
    [](const auto& test) { return test.param.name; });

// Thin disks as large as users have them.
class Thin : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Thin, IsReadInLittleAndNothingInItIsNeeded) {
    MadeFilesystem made({"thin", GetParam() / MiB, ""}, 300);
    CountedDevice device(made.path());
    const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
    ASSERT_TRUE(filesystem->state().clean());
    const ExtentSet free = filesystem->free_extents();
    EXPECT_LT(device.bytes, 4 * MiB); // 2 MiB of it to see that nothing follows the end of the log
    EXPECT_GT(free.total(), GetParam() / 10 * 9);
    EXPECT_EQ(filesystem->usage().free, made.number("sb 0", "fdblocks") * filesystem->usage().block_size);

    const std::string sums = sums_of_files(made.path(), made.beside("mnt"));
    EXPECT_GT(sums.size(), 150 * 64u);
    overwrite(made.path(), free, GetParam() <= 2 * GiB ? UINT64_MAX : 1 * MiB);
    EXPECT_TRUE(repair_clean(made.path()));
    EXPECT_EQ(sums_of_files(made.path(), made.beside("mnt")), sums);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Thin, testing::Values(2 * GiB, 100 * GiB, 1 * TiB));

// Every second block of a file is given back: some ten thousand extents, a tree of three levels.
TEST(FreeMap, OfADeepTree) {
    MadeFilesystem made({"deep", 64, "-b size=1024 -d agcount=1 -l size=8m"});
    {
        const Mounted mounted(made.path(), made.beside("mnt"));
        const int blocks = 24000;
        const int file = ::open((mounted / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        ASSERT_GE(file, 0);
        EXPECT_EQ(::fallocate(file, 0, 0, blocks * 1024), 0);
        for (int i = 0; i < blocks; i += 2)
            EXPECT_EQ(::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * 1024, 1024), 0);
        ::close(file);
    }
    ASSERT_EQ(made.number("agf 0", "bnolevel"), 3u);
    Opened opened(made.path());
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free, dumped_free_extents(made));
    EXPECT_GT(free.count(), 11000u);
    EXPECT_EQ(opened->usage().free, made.number("sb 0", "fdblocks") * 1024);
    overwrite(made.path(), free);
    EXPECT_TRUE(repair_clean(made.path()));
}

// It grows, also by a last group that is cut short; what lies behind its end is not ours to call free.
TEST(FreeMap, OfAGrownOneEndsWithIt) {
    MadeFilesystem made({"grown", 64, "-l size=8m"}, 40);
    made.truncate(200 * MiB + 12345);
    EXPECT_EQ(Opened(made.path())->usage().size, 64 * MiB);
    EXPECT_LE(Opened(made.path())->free_extents().span().end(), 64 * MiB);
    {
        const Mounted mounted(made.path(), made.beside("mnt"));
        dt::run_tool({"xfs_growfs", mounted.point()});
    }
    Opened opened(made.path());
    EXPECT_GT(opened->usage().size, 199 * MiB);
    EXPECT_EQ(opened->free_extents(), dumped_free_extents(made));
}

// A new UUID leaves the old one in all metadata.
TEST(FreeMap, OfOneWithAnotherUuid) {
    MadeFilesystem made({"uuid", 64, "-l size=8m"}, 40);
    const ExtentSet before = Opened(made.path())->free_extents();
    dt::run_tool({"xfs_admin", "-U", "01234567-89ab-cdef-0123-456789abcdef", made.path()});
    Opened opened(made.path());
    EXPECT_EQ(opened->usage().uuid, "01234567-89ab-cdef-0123-456789abcdef");
    EXPECT_TRUE(made.superblock().features.has_meta_uuid());
    EXPECT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_EQ(opened->free_extents(), before);
}

} // namespace disktool::xfs::test
