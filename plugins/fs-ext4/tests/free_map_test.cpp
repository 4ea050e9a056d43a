// SPDX-License-Identifier: LGPL-2.1-or-later
// The free map against an independent one (dumpe2fs), and by destroying all that it calls free.
#include "made_filesystem.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

namespace disktool::ext4::test {

namespace dt = disktool::test;

namespace {

/// The lists that dumpe2fs prints under each group ("  Free blocks: 12-40, 55"). It names clusters by their
/// first block.
ExtentSet dumped_free_extents(const MadeFilesystem& made, bool clustered) {
    const std::uint64_t block = std::stoull(made.header("Block size"));
    const std::uint64_t cluster = clustered ? std::stoull(made.header("Cluster size")) : block;
    std::vector<Range> ranges;
    std::istringstream lines(dt::run_tool({"dumpe2fs", made.path()}));
    const std::string lead = "  Free blocks: ";
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(lead))
            continue;
        std::istringstream items(line.substr(lead.size()));
        for (std::string item; std::getline(items, item, ',');) {
            const std::size_t dash = item.find('-');
            if (item.find_first_of("0123456789") == std::string::npos)
                continue;
            const std::uint64_t first = std::stoull(item);
            const std::uint64_t last = dash == std::string::npos ? first : std::stoull(item.substr(dash + 1));
            ranges.push_back({first * block, (last - first) * block + cluster});
        }
    }
    return ExtentSet::from_unsorted(std::move(ranges));
}

void overwrite(const std::string& path, const ExtentSet& extents) {
    dt::FileDevice device(path, Access::write);
    const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
    for (const Range range : extents)
        for (std::uint64_t at = range.offset; at < range.end(); at += MiB)
            device.write(at, std::span(pattern).first(std::min<std::uint64_t>(MiB, range.end() - at)));
}

/// All files of the image, in a folder beside it.
std::string extract(const MadeFilesystem& made, const std::string& image, const std::string& name) {
    const std::string folder = made.beside(name);
    std::filesystem::create_directory(folder);
    dt::run_tool({"debugfs", "-R", fmt::format("rdump / {}", folder), image});
    return folder;
}

} // namespace

class FreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(FreeMap, IsExactAndNothingInItIsNeeded) {
    const bool clustered = std::string(GetParam().options).find("bigalloc") != std::string::npos;
    MadeFilesystem made(GetParam(), 60);
    ASSERT_TRUE(fsck_clean(made.path()));

    Opened opened(made.path());
    ASSERT_TRUE(opened->state().clean()) << opened->state().sentence;
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free, dumped_free_extents(made, clustered));
    EXPECT_EQ(free.total(), opened->usage().free);
    EXPECT_EQ(free.total(), std::stoull(made.header("Free blocks")) * opened->usage().block_size);
    EXPECT_LE(free.span().end(), opened->usage().size);

    const std::string copy = made.copy("copy.img");
    overwrite(copy, free);
    EXPECT_TRUE(fsck_clean(copy));
    const std::string before = extract(made, made.path(), "before");
    EXPECT_TRUE(std::filesystem::exists(before + "/d1/f1"));
    EXPECT_EQ(dt::exit_status_of({"diff", "-r", before, extract(made, copy, "after")}), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FreeMap,
    testing::Values(Recipe{"ext2_1k", 20000, "-t ext2 -b 1024"}, Recipe{"ext2_4k", 24000, "-t ext2 -b 4096"},
                    Recipe{"ext2_revision_0", 20000, "-t ext2 -b 1024 -r 0"},
                    Recipe{"ext3_1k", 32768, "-t ext3 -b 1024"}, Recipe{"ext3_4k", 65536, "-t ext3 -b 4096"},
                    Recipe{"ext4_default", 65536, "-t ext4"}, Recipe{"ext4_1k", 65536, "-t ext4 -b 1024"},
                    Recipe{"ext4_2k", 65536, "-t ext4 -b 2048"}, Recipe{"ext4_4k", 65536, "-t ext4 -b 4096"},
                    Recipe{"ext4_64k", 131072, "-t ext4 -b 65536"},
                    Recipe{"ext4_odd_size", 70003, "-t ext4 -b 1024"},
                    Recipe{"ext4_no_journal", 40000, "-t ext4 -b 1024 -O ^has_journal"},
                    Recipe{"ext4_32_bit", 65536, "-t ext4 -b 1024 -O ^64bit"},
                    Recipe{"ext4_no_flex_bg", 65536, "-t ext4 -b 1024 -O ^flex_bg"},
                    Recipe{"ext4_meta_bg", 65536, "-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode"},
                    Recipe{"ext4_gdt_csum", 65536, "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg"},
                    Recipe{"ext4_no_checksums", 65536, "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg"},
                    Recipe{"ext4_sparse_super2", 65536, "-t ext4 -b 1024 -O sparse_super2"},
                    Recipe{"ext4_all_backups", 65536, "-t ext4 -b 1024 -O ^sparse_super,^resize_inode"},
                    Recipe{"ext4_many_groups", 65536, "-t ext4 -b 1024 -g 256 -G 4"},
                    Recipe{"ext4_bigalloc", 65536, "-t ext4 -b 4096 -O bigalloc -C 16384"},
                    Recipe{"ext4_bigalloc_1k", 65539, "-t ext4 -b 1024 -O bigalloc -C 2048"},
                    Recipe{
                        "ext4_newer_features", 65536,
                        "-t ext4 -b 1024 -O inline_data,orphan_file,fast_commit,metadata_csum_seed,large_dir"}),
    [](const auto& test) { return test.param.name; });

/// Adds up what is read.
class CountedDevice : public dt::FileDevice {
  public:
    using FileDevice::FileDevice;
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        bytes_read += buffer.size();
        FileDevice::read(offset, buffer);
    }
    std::uint64_t bytes_read = 0;
};

TEST(ThinFreeMap, OneTebibyteReadsLittle) {
    MadeFilesystem made({"thin", 1ull << 30, "-t ext4"});
    CountedDevice device(made.path());
    const ExtentSet free = Plugin().open(device)->free_extents();
    EXPECT_EQ(free, dumped_free_extents(made, false));
    EXPECT_LT(device.bytes_read, 8 * MiB);
}

// Then the groups at the end lie otherwise than mke2fs lays them.
TEST(FreeMap, IsExactAfterGrowingAndShrinking) {
    for (const char* options : {"-t ext2 -b 1024", "-t ext4 -b 1024", "-t ext4 -b 1024 -O ^flex_bg"}) {
        MadeFilesystem made({"resized", 20000, options}, 60);
        made.truncate(123456 * KiB);
        for (const char* size : {"120003K", "60007K"}) {
            dt::run_tool({"e2fsck", "-fy", made.path()});
            dt::run_tool({"resize2fs", made.path(), size});
            Opened opened(made.path());
            EXPECT_EQ(opened->free_extents(), dumped_free_extents(made, false)) << options << " " << size;
        }
    }
}

// A file system need not fill its partition; what lies behind it is not ours to call free.
TEST(FreeMap, EndsWithTheFileSystem) {
    MadeFilesystem made({"short", 20000, "-t ext2 -b 1024"});
    made.truncate(made.size() * 3);
    Opened opened(made.path());
    EXPECT_EQ(opened->usage().size, 20000 * KiB);
    EXPECT_LE(opened->free_extents().span().end(), 20000 * KiB);
}

} // namespace disktool::ext4::test
