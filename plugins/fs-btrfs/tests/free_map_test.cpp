// SPDX-License-Identifier: LGPL-2.1-or-later
// The free map against an independent one (btrfs-progs), and by destroying all that it calls free.
#include "made_filesystem.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <regex>
#include <sstream>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

struct DumpedChunk {
    Range logical;
    std::vector<std::uint64_t> places;
};

std::vector<DumpedChunk> dumped_chunks(const MadeFilesystem& made) {
    static const std::regex chunk_line(R"(key \(FIRST_CHUNK_TREE CHUNK_ITEM (\d+)\))");
    static const std::regex length_line(R"(^\s+length (\d+) owner)");
    static const std::regex stripe_line(R"(stripe \d+ devid 1 offset (\d+))");
    std::vector<DumpedChunk> chunks;
    std::istringstream lines(made.dump_tree("chunk"));
    std::smatch match;
    for (std::string line; std::getline(lines, line);)
        if (std::regex_search(line, match, chunk_line))
            chunks.push_back({{std::stoull(match[1]), 0}, {}});
        else if (!chunks.empty() && std::regex_search(line, match, length_line))
            chunks.back().logical.length = std::stoull(match[1]);
        else if (!chunks.empty() && std::regex_search(line, match, stripe_line))
            chunks.back().places.push_back(std::stoull(match[1]));
    return chunks;
}

/// All but what `btrfs inspect-internal dump-tree` shows as extents, and the reserved places.
ExtentSet dumped_free_extents(const MadeFilesystem& made, std::uint32_t node_size) {
    static const std::regex extent_line(R"(item \d+ key \((\d+) (EXTENT|METADATA)_ITEM (\d+)\))");
    const std::vector<DumpedChunk> chunks = dumped_chunks(made);
    std::vector<Range> used = {{0, MiB}, {64 * MiB, 64 * KiB}, {256 * GiB, 64 * KiB}};
    std::istringstream lines(made.dump_tree("extent"));
    std::smatch match;
    for (std::string line; std::getline(lines, line);) {
        if (!std::regex_search(line, match, extent_line))
            continue;
        const std::uint64_t logical = std::stoull(match[1]);
        const std::uint64_t length = match[2] == "METADATA" ? node_size : std::stoull(match[3]);
        for (const DumpedChunk& chunk : chunks)
            if (chunk.logical.contains(logical))
                for (const std::uint64_t place : chunk.places)
                    used.push_back({place + (logical - chunk.logical.offset), length});
    }
    return ExtentSet::from_unsorted(std::move(used)).complement({0, Opened(made.path())->usage().size});
}

/// What `btrfs filesystem usage` says, without the reserved places, which it does not count.
std::uint64_t told_free_bytes(const MadeFilesystem& made) {
    const Mounted mounted(made, ",ro");
    const std::string text = dt::run_tool({"btrfs", "filesystem", "usage", "-b", mounted.point()});
    static const std::regex unallocated_line(R"(Device unallocated:\s+(\d+))");
    static const std::regex profile_line(R"(\w+,(\w+): Size:(\d+), Used:(\d+))");
    std::smatch match;
    if (!std::regex_search(text, match, unallocated_line))
        throw std::runtime_error("not understood: " + text);
    std::uint64_t free = std::stoull(match[1]) - MiB;
    for (std::sregex_iterator at(text.begin(), text.end(), profile_line), end; at != end; ++at)
        free += (std::stoull((*at)[2]) - std::stoull((*at)[3])) * ((*at)[1] == "DUP" ? 2 : 1);
    for (const std::uint64_t place : {64 * MiB, 256 * GiB})
        free -= place < made.size() ? 64 * KiB : 0;
    return free;
}

/// Everything; of extents larger than `whole` their ends and a sample every 256 MiB.
void overwrite(const std::string& path, const ExtentSet& extents, std::uint64_t whole) {
    dt::FileDevice device(path, Access::write);
    const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
    const auto fill = [&](std::uint64_t from, std::uint64_t to) {
        for (std::uint64_t at = from; at < to; at += MiB)
            device.write(at, std::span(pattern).first(std::min<std::uint64_t>(MiB, to - at)));
    };
    for (const Range range : extents) {
        if (range.length <= whole) {
            fill(range.offset, range.end());
            continue;
        }
        fill(range.offset, range.offset + 64 * KiB);
        for (std::uint64_t at = range.offset + 256 * MiB; at + 64 * KiB < range.end(); at += 256 * MiB)
            fill(at, at + 64 * KiB);
        fill(range.end() - 64 * KiB, range.end());
    }
}

std::uint32_t node_size(const MadeFilesystem& made) {
    dt::FileDevice device(made.path());
    return read_superblock(device, superblock_places[0])->node_size;
}

void expect_exact(const MadeFilesystem& made) {
    Opened opened(made.path());
    ASSERT_TRUE(opened->state().clean()) << opened->state().sentence;
    const ExtentSet free = opened->free_extents();
    EXPECT_EQ(free, opened.btrfs().free_extents_by_extent_tree());
    EXPECT_EQ(free, dumped_free_extents(made, node_size(made)));
    EXPECT_EQ(free.total(), opened->usage().free);
    EXPECT_LE(free.span().end(), opened->usage().size);
    EXPECT_EQ(free.total(), told_free_bytes(made));
}

void expect_nothing_needed(const MadeFilesystem& made, std::uint64_t whole) {
    const std::string before = digest_of_files(made, made.path());
    EXPECT_NE(before.find("f0"), std::string::npos);
    const std::string copy = made.copy("copy.img");
    const ExtentSet free = Opened(copy)->free_extents();
    overwrite(copy, free, whole);
    EXPECT_TRUE(check_clean(copy));
    EXPECT_EQ(before, digest_of_files(made, copy));
}

} // namespace

class FreeMap : public testing::TestWithParam<Recipe> {};

TEST_P(FreeMap, IsExactAndNothingInItIsNeeded) {
    MadeFilesystem made(GetParam());
    made.fill(200);
    ASSERT_TRUE(check_clean(made.path()));
    expect_exact(made);
    expect_nothing_needed(made, ~0ull);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FreeMap,
    testing::Values(
        Recipe{"defaults", 300}, Recipe{"nodes_4k", 256, "-n 4k"}, Recipe{"nodes_64k", 400, "-n 64k"},
        Recipe{"all_single", 200, "-m single"}, Recipe{"all_dup", 400, "-d dup"},
        Recipe{"mixed", 160, "--mixed"}, Recipe{"mixed_dup", 300, "--mixed -m dup -d dup"},
        Recipe{"no_free_space_tree", 256, "-R ^free-space-tree"},
        Recipe{"old_cache", 256, "-R ^free-space-tree", "noatime,space_cache=v1"},
        Recipe{"converted_to_free_space_tree", 256, "-R ^free-space-tree", "noatime,space_cache=v2"},
        Recipe{"quota", 256, "-R quota"}, Recipe{"no_extref", 256, "-O ^extref,^skinny-metadata,^no-holes"},
        Recipe{"xxhash", 256, "--csum xxhash"}, Recipe{"sha256", 256, "--csum sha256"},
        Recipe{"blake2", 256, "--csum blake2"}, Recipe{"compressed", 256, "", "noatime,compress-force=zstd"},
        Recipe{"odd_size", 257, "-b 260001792"}),
    [](const auto& test) { return test.param.name; });

TEST(FreeMap, OfTwoGibibytes) {
    MadeFilesystem made({"2g", 2048});
    made.fill(900);
    expect_exact(made);
    expect_nothing_needed(made, ~0ull);
}

class ThinFreeMap : public testing::TestWithParam<Recipe> {};

// Two of the superblock's mirrors lie in it at 1 TiB.
TEST_P(ThinFreeMap, IsExactAndNothingInItIsNeeded) {
    MadeFilesystem made(GetParam());
    made.fill(900);
    expect_exact(made);
    expect_nothing_needed(made, 8 * MiB);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThinFreeMap,
                         testing::Values(Recipe{"gib_100", 100 << 10}, Recipe{"tib_1", 1 << 20},
                                         Recipe{"tib_1_no_free_space_tree", 1 << 20, "-R ^free-space-tree"}),
                         [](const auto& test) { return test.param.name; });

// A chunk around the mirror at 256 GiB: its place is free by all trees, and yet not to be touched.
TEST(FreeMap, LeavesTheMirrorsInsideChunksAlone) {
    MadeFilesystem made({"mirror", 258 << 10});
    {
        const Mounted mounted(made);
        dt::run_tool({"fallocate", "-l", "252G", mounted / "f0"});
        dt::run_tool({"fallocate", "-l", "2500M", mounted / "f1"});
    }
    Opened opened(made.path());
    const ExtentSet free = opened->free_extents();
    EXPECT_FALSE(free.intersects({256 * GiB, 64 * KiB}));
    EXPECT_FALSE(free.intersects({64 * MiB, 64 * KiB}));
    bool inside = false;
    for (const DumpedChunk& chunk : dumped_chunks(made))
        for (const std::uint64_t place : chunk.places)
            inside |= Range{place, chunk.logical.length}.contains(256 * GiB);
    EXPECT_TRUE(inside);
    expect_exact(made);
}

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
    MadeFilesystem made({"thin", 1 << 20});
    made.fill(300);
    CountedDevice device(made.path());
    const auto start = std::chrono::steady_clock::now();
    Plugin().open(device)->free_extents();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    RecordProperty("milliseconds", std::to_string(took.count()));
    EXPECT_LT(device.bytes_read, 2 * MiB);
}

// mkfs.btrfs leaves entries of block groups that it removed again.
TEST(FreeMap, PassesStaleEntriesBy) {
    MadeFilesystem made({"stale", 256});
    const std::string dump = made.dump_tree("10");
    ASSERT_NE(dump.find("(1048576 FREE_SPACE_INFO 4194304)"), std::string::npos);
    ASSERT_EQ(made.dump_tree("chunk").find("CHUNK_ITEM 1048576)"), std::string::npos);
    expect_exact(made);
}

TEST(FreeMap, ReadsBitmaps) {
    MadeFilesystem made({"bitmaps", 300, "-n 4k"});
    {
        const Mounted mounted(made, ",nodatacow,max_inline=0");
        // Every second sector of a long run: more extents than a bitmap takes room.
        for (int i = 0; i < 3000; ++i)
            dt::write_file(mounted / fmt::format("f{}", i), std::string(4096, static_cast<char>('a' + i % 26)));
        dt::run_tool({"sync", "-f", mounted.point()});
        for (int i = 1; i < 3000; i += 2)
            std::filesystem::remove(mounted / fmt::format("f{}", i));
    }
    ASSERT_NE(made.dump_tree("10").find("FREE_SPACE_BITMAP"), std::string::npos);
    expect_exact(made);
    expect_nothing_needed(made, ~0ull);
}

// What the kernel does at the next mount when the tree is not marked as valid.
TEST(FreeMap, IsByTheExtentTreeWhereTheOtherIsNotValid) {
    MadeFilesystem made({"invalid", 256});
    made.fill(100);
    const ExtentSet free = Opened(made.path())->free_extents();
    made.patch_superblock(0xb4, little_endian(1, 8));
    made.change_node(made.root_of(tree::free_space),
                     [](std::span<std::byte> node) { node[0x50] ^= std::byte{1}; });
    Opened opened(made.path());
    EXPECT_FALSE(opened.btrfs().uses_free_space_tree());
    EXPECT_EQ(opened->free_extents(), free);
}

TEST(FreeMap, IsExactAfterABalanceAndResizes) {
    MadeFilesystem made({"moved", 1024});
    made.fill(500);
    {
        const Mounted mounted(made);
        dt::run_tool({"btrfs", "balance", "start", "--full-balance", mounted.point()});
        dt::run_tool({"btrfs", "filesystem", "resize", "700M", mounted.point()});
    }
    EXPECT_EQ(Opened(made.path())->usage().size, 700 * MiB); // what lies behind it is not ours to call free
    made.truncate(700 * MiB);
    expect_exact(made);
    expect_nothing_needed(made, ~0ull);
}

TEST(FreeMap, OfAFolderPackedByMkfs) {
    dt::TemporaryFolder source;
    for (int i = 0; i < 200; ++i)
        dt::write_file(source / fmt::format("f{}", i), std::string(static_cast<std::size_t>(i) * 700, 'x'));
    const std::string options = fmt::format("--rootdir {}", source.path().string());
    MadeFilesystem made({"rootdir", 256, options.c_str()});
    expect_exact(made);
    expect_nothing_needed(made, ~0ull);
}

} // namespace disktool::btrfs::test
