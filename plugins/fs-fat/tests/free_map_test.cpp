// SPDX-License-Identifier: LGPL-2.1-or-later
// The free map against fsck's figures, and by destroying all that it calls free.
#include "made_fat.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <regex>

namespace disktool::fat::test {

namespace dt = disktool::test;

namespace {

/// "2 files, 4/129022 clusters": what fsck.fat says of the clusters that are not used.
std::uint64_t reported_free_clusters(const std::string& path) {
    const std::string output = dt::run_tool({"fsck.fat", "-n", path});
    std::smatch match;
    if (!std::regex_search(output, match, std::regex("([0-9]+)/([0-9]+) clusters")))
        throw std::runtime_error("fsck.fat says no more: " + output);
    return std::stoull(match[2]) - std::stoull(match[1]);
}

void overwrite(const std::string& path, const ExtentSet& extents) {
    dt::FileDevice device(path, Access::write);
    const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
    for (const Range range : extents)
        for (std::uint64_t at = range.offset; at < range.end(); at += MiB)
            device.write(at, std::span(pattern).first(std::min<std::uint64_t>(MiB, range.end() - at)));
}

template <class T>
std::optional<T> detail(const Details& details, const std::string& name) {
    for (const auto& [key, value] : details)
        if (key == name)
            return std::get<T>(value);
    return std::nullopt;
}

} // namespace

class FreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(FreeMap, IsExactAndNothingInItIsNeeded) {
    MadeFat made(GetParam());
    if (made.exfat() && !exfat_mountable())
        GTEST_SKIP() << "exfat-fuse (or fuser, of psmisc) is missing";
    made.fill(20);
    ASSERT_TRUE(fsck_clean(made.path(), made.exfat()));

    Opened opened(made.path());
    ASSERT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_EQ(Plugin().probe(opened.device), made.exfat() ? 100 : 90);
    const FilesystemUsage usage = opened->usage();
    EXPECT_EQ(opened->type(), made.blkid("TYPE"));
    EXPECT_EQ(usage.uuid, made.blkid("UUID"));
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free.total(), usage.free);
    EXPECT_LE(free.span().end(), usage.size);
    EXPECT_GT(free.count(), 3u);
    if (!made.exfat()) {
        EXPECT_EQ(free.total(), reported_free_clusters(made.path()) * usage.block_size);
    }
    if (const auto noted = detail<std::uint64_t>(opened->details(), "fsinfo_free_bytes")) {
        EXPECT_EQ(*noted, usage.free);
    }

    const auto before = made.sums(made.path());
    EXPECT_EQ(before.size(), 10u);
    const std::string copy = made.copy("copy.img");
    overwrite(copy, free);
    EXPECT_TRUE(fsck_clean(copy, made.exfat()));
    EXPECT_EQ(made.sums(copy), before);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FreeMap,
    testing::Values(Recipe{"fat12_floppy", 1440, "mkfs.fat -F 12"},
                    Recipe{"fat12", 3000, "mkfs.fat -F 12 -s 2"}, Recipe{"fat16", 20000, "mkfs.fat -F 16"},
                    Recipe{"fat16_odd", 30003, "mkfs.fat -F 16 -s 4 -r 1024"},
                    Recipe{"fat16_one_table", 20000, "mkfs.fat -F 16 -f 1"},
                    Recipe{"fat16_4k_sectors", 70000, "mkfs.fat -F 16 -S 4096 -s 1"},
                    Recipe{"fat32", 65536, "mkfs.fat -F 32"}, Recipe{"fat32_1k", 200000, "mkfs.fat -F 32 -s 2"},
                    Recipe{"fat32_reserved", 65536, "mkfs.fat -F 32 -R 100 -a"},
                    Recipe{"exfat", 65536, "mkfs.exfat"}, Recipe{"exfat_512", 20000, "mkfs.exfat -c 512"},
                    Recipe{"exfat_128k", 100000, "mkfs.exfat -c 128K"}),
    [](const auto& test) { return test.param.name; });

TEST(ThinFreeMap, OneTebibyte) {
    for (const Recipe& recipe :
         {Recipe{"fat32", 1ull << 30, "mkfs.fat -F 32"}, Recipe{"exfat", 1ull << 30, "mkfs.exfat"}}) {
        MadeFat made(recipe);
        Opened opened(made.path());
        EXPECT_GT(opened->free_extents().total(), 1023 * GiB);
        EXPECT_EQ(opened->free_extents().count(), 1u);
    }
}

TEST(Label, IsToldAsBlkidTellsIt) {
    for (const Recipe& recipe :
         {Recipe{"fat12", 1440, "mkfs.fat -F 12 -n TWELVE"},
          Recipe{"fat16", 20000, "mkfs.fat -F 16 -n SIX-TEEN"},
          Recipe{"fat32", 65536, "mkfs.fat -F 32 -n LABEL"}, Recipe{"none", 65536, "mkfs.fat -F 32"},
          Recipe{"exfat", 20000, "mkfs.exfat -L eleven_char"}, Recipe{"exfat_none", 20000, "mkfs.exfat"}}) {
        MadeFat made(recipe);
        EXPECT_EQ(Opened(made.path())->usage().label, made.blkid("LABEL")) << recipe.name;
    }
    MadeFat umlauts({"exfat", 20000, "env LC_ALL=C.UTF-8 mkfs.exfat -L Gr\xc3\xb6\xc3\x9f\x65"});
    EXPECT_EQ(Opened(umlauts.path())->usage().label, "Gr\xc3\xb6\xc3\x9f\x65");
    // mlabel changes the root directory's entry.
    MadeFat changed({"fat16", 20000, "mkfs.fat -F 16 -n BEFORE"});
    dt::run_tool({"mlabel", "-i", changed.path(), "::AFTER"});
    EXPECT_EQ(Opened(changed.path())->usage().label, "AFTER");
}

TEST(Resize, IsRefusedByName) {
    for (const Recipe& recipe :
         {Recipe{"fat", 20000, "mkfs.fat -F 16"}, Recipe{"exfat", 20000, "mkfs.exfat"}}) {
        MadeFat made(recipe);
        Opened opened(made.path());
        EXPECT_EQ(opened->can_grow(), Reason::capability_missing);
        EXPECT_EQ(opened->can_shrink(), Reason::capability_missing);
        EXPECT_FALSE(opened->resizes_natively());
        EXPECT_EQ(opened->minimum_size().bytes, opened->usage().size);
        EXPECT_EQ(opened->minimum_size().reason, Reason::filesystem_cannot_shrink);
        Plan plan("resize", made.path());
        try {
            opened->plan_resize(plan, {1, 20000 * KiB, 10000 * KiB});
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.reason(), Reason::capability_missing);
            EXPECT_NE(std::string(error.what()).find("cannot be resized by this tool"), std::string::npos);
        }
    }
}

} // namespace disktool::fat::test
