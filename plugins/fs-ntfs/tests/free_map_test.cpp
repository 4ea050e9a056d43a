// SPDX-License-Identifier: GPL-2.0-or-later
// The free map against libntfs-3g's, and by destroying all that it calls free.
#include "made_ntfs.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

namespace disktool::ntfs::test {

namespace dt = disktool::test;

namespace {

/// Extents up to `whole` bytes in full; of larger ones the ends and 64 KiB every `step` bytes.
void overwrite(const std::string& path, const ExtentSet& extents, std::uint64_t whole, std::uint64_t step) {
    dt::FileDevice device(path, Access::write);
    const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
    for (const Range range : extents) {
        const bool sampled = range.length > whole;
        const std::uint64_t piece = sampled ? 64 * KiB : MiB;
        for (std::uint64_t at = range.offset; at < range.end(); at += sampled ? step : piece)
            device.write(at, std::span(pattern).first(std::min(piece, range.end() - at)));
        if (sampled)
            device.write(range.end() - piece, std::span(pattern).first(piece));
    }
}

/// ntfsinfo's total, which is a count of its own.
std::uint64_t free_clusters_of(const std::string& path) {
    const std::string text = dt::run_tool({"ntfsinfo", "-m", "-f", path});
    const std::size_t at = text.find("Free Clusters: ");
    return std::stoull(text.substr(at + 15));
}

void expect_exact(const std::string& path, std::uint64_t whole, std::uint64_t step, const std::string& copy) {
    Opened opened(path);
    ASSERT_TRUE(opened->state().clean()) << opened->state().sentence;
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free, Oracle(path).free);
    EXPECT_EQ(free.total(), opened->usage().free);
    EXPECT_EQ(free.total(), free_clusters_of(path) * opened->usage().block_size);
    EXPECT_LE(free.span().end(), opened->usage().size);

    const std::string before = contents_of(path);
    overwrite(copy, free, whole, step);
    expect_sound(copy);
    EXPECT_EQ(contents_of(copy), before);
}

} // namespace

class FreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(FreeMap, IsExactAndNothingInItIsNeeded) {
    MadeNtfs made(GetParam());
    fill(made.path(), patterns()[0]);
    expect_exact(made.path(), GiB, GiB, made.copy("copy.img"));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FreeMap,
    testing::Values(Recipe{"cluster_512", 64 * MiB, "-c 512"}, Recipe{"cluster_1k", 64 * MiB, "-c 1024"},
                    Recipe{"cluster_2k", 64 * MiB, "-c 2048"}, Recipe{"cluster_4k", 64 * MiB, "-c 4096"},
                    Recipe{"cluster_8k", 64 * MiB, "-c 8192"}, Recipe{"cluster_16k", 64 * MiB, "-c 16384"},
                    Recipe{"cluster_32k", 64 * MiB, "-c 32768"}, Recipe{"cluster_64k", 64 * MiB, "-c 65536"},
                    Recipe{"sector_1k", 64 * MiB, "-s 1024 -c 4096"},
                    Recipe{"sector_4k", 64 * MiB, "-s 4096 -c 4096"},
                    Recipe{"sector_4k_cluster_64k", 64 * MiB, "-s 4096 -c 65536"},
                    Recipe{"odd_size", 64 * MiB + 1537, "-c 4096"}, Recipe{"compressing", 64 * MiB, "-C"}),
    [](const auto& test) { return test.param.name; });

class FilledFreeMap : public testing::TestWithParam<Pattern> {};

TEST_P(FilledFreeMap, IsExactAndNothingInItIsNeeded) {
    MadeNtfs made({"filled", 128 * MiB, ""});
    fill(made.path(), GetParam());
    expect_exact(made.path(), GiB, GiB, made.copy("copy.img"));
}

INSTANTIATE_TEST_SUITE_P(Patterns, FilledFreeMap, testing::ValuesIn(patterns()),
                         [](const auto& test) { return test.param.name; });

class ThinFreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(ThinFreeMap, IsExactAndNothingInItIsNeeded) {
    MadeNtfs made(GetParam());
    fill(made.path(), patterns()[0]);
    const std::string copy = made.copy("copy.img");
    expect_exact(made.path(), MiB, std::max<std::uint64_t>(GetParam().size / 256, 16 * MiB), copy);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThinFreeMap,
                         testing::Values(Recipe{"two_gib", 2 * GiB, ""}, Recipe{"hundred_gib", 100 * GiB, ""},
                                         Recipe{"one_tib", TiB, ""}),
                         [](const auto& test) { return test.param.name; });

// A file system need not fill its partition; what lies behind it is not ours to call free.
TEST(NtfsFreeMap, EndsWithTheFileSystem) {
    MadeNtfs made({"short", 32 * MiB, ""});
    std::filesystem::resize_file(made.path(), 100 * MiB);
    Opened opened(made.path());
    EXPECT_EQ(opened->usage().size, 32 * MiB);
    EXPECT_LE(opened->free_extents().span().end(), 32 * MiB);
}

// An MFT in so many pieces that record 0 does not hold its run list: an attribute list tells of the rest.
TEST(NtfsFreeMap, FollowsTheAttributeListOfTheMft) {
    MadeNtfs made({"list", 48 * MiB, "-c 512 -z 4"});
    {
        const Mount mount(made.path());
        // No two free clusters side by side: each new piece of the MFT is a run of its own.
        unsigned count = 0;
        for (; std::filesystem::space(mount.path()).free > 512 * KiB; ++count)
            dt::write_file(mount / fmt::format("f{}", count), std::string(16800, 'x'));
        for (unsigned i = 0; i < count; i += 2)
            std::filesystem::remove(mount / fmt::format("f{}", i));
        for (unsigned i = 0; i < 9000; ++i)
            dt::write_file(mount / fmt::format("small{}", i), i % 4 == 0 ? std::string(1200, 's') : "s");
    }
    const OpenedVolume opened(made.path());
    RecordProperty("mft_runs", static_cast<int>(opened.volume.mft().runs.size()));
    EXPECT_TRUE(opened.volume.mft().in_list) << opened.volume.mft().runs.size() << " runs";
    expect_exact(made.path(), GiB, GiB, made.copy("copy.img"));
}

// Windows puts the MFT at cluster 0xC0000: 3 GiB.
TEST(NtfsFreeMap, MftFarBehind) {
    MadeNtfs made({"windows", 5 * GiB, "-c 4096"});
    constexpr std::uint64_t cluster = 4096;
    constexpr std::uint64_t place = 0xc0000;
    std::uint64_t length = 0;
    std::uint64_t bitmap = 0;
    std::uint64_t mirror = 0;
    {
        const OpenedVolume opened(made.path());
        ASSERT_EQ(opened.volume.mft().runs.size(), 1u);
        ASSERT_EQ(opened.volume.mft().runs[0].lcn, 4u);
        length = opened.volume.mft().runs[0].length;
        bitmap = opened.place_of(bitmap_file);
        mirror = opened.place_of(mirror_file);
    }
    const std::string mft = made.read(4 * cluster, length * cluster);
    made.patch(place * cluster, mft);
    made.patch(4 * cluster, std::string(length * cluster, '\0'));
    const std::string old_run = "\x11" + little_endian(length, 1) + "\x04";
    const std::size_t run = mft.substr(0, 1024).find(old_run);
    ASSERT_NE(run, std::string::npos);
    const std::string new_run =
        "\x31" + little_endian(length, 1) + little_endian(place, 3) + std::string(1, '\0');
    made.patch(place * cluster + run, new_run);
    made.patch(mirror + run, new_run);
    made.patch(0x30, little_endian(place, 8));
    made.patch(5 * GiB - 512 + 0x30, little_endian(place, 8));
    made.patch(bitmap + place / 8, little_endian((1u << length) - 1, 2));
    ASSERT_EQ(length, 7u);
    std::string first = made.read(bitmap, 2);
    first[0] = static_cast<char>(first[0] & 0x0f);
    first[1] = static_cast<char>(first[1] & 0xf8);
    made.patch(bitmap, first);

    expect_sound(made.path());
    fill(made.path(), patterns()[0]);
    EXPECT_EQ(OpenedVolume(made.path()).volume.boot().mft_cluster(), place);
    expect_exact(made.path(), MiB, 64 * MiB, made.copy("copy.img"));
}

} // namespace disktool::ntfs::test
