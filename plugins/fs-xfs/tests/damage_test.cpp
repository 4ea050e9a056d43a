// SPDX-License-Identifier: LGPL-2.1-or-later
// Broken, foreign and hostile file systems: refused by a sentence, never by a crash.
#include "big_endian.h"
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

namespace disktool::xfs::test {

namespace dt = disktool::test;

namespace {

void expect_error(const std::function<void()>& action, ErrorCode code, Reason reason,
                  const std::string& words) {
    try {
        action();
        ADD_FAILURE() << "no error; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(name(error.code()), name(code)) << error.what();
        EXPECT_EQ(name(error.reason()), name(reason)) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos)
            << error.what() << "\nshould say: " << words;
    }
}

void expect_damaged(const MadeFilesystem& made, const std::string& words) {
    expect_error([&] { Opened opened(made.path()); }, ErrorCode::damaged, Reason::filesystem_damaged, words);
}

void expect_damaged_map(const MadeFilesystem& made, const std::string& words) {
    Opened opened(made.path());
    expect_error([&] { opened->free_extents(); }, ErrorCode::damaged, Reason::filesystem_damaged, words);
}

void expect_unsupported(const MadeFilesystem& made, const std::string& words) {
    expect_error([&] { Opened opened(made.path()); }, ErrorCode::unsupported, Reason::feature_not_supported,
                 words);
}

// Sectors of 512 bytes in blocks of 4 KiB: the headers of a group are in its block 0, its tree of free space
// starts in block 1.
const Recipe v5{"v5", 64, "-l size=8m"};
const Recipe v4{"v4", 64, "-m crc=0 -l size=8m"};
constexpr std::uint64_t agf = 512, agi = 1024, agfl = 1536, tree = 4096;
constexpr std::uint64_t records_5 = tree + 56, records_4 = tree + 16;

/// Overwrites in a sector of version 5 and makes its checksum right.
void patch_sealed(MadeFilesystem& made, std::uint64_t start, std::uint64_t length, std::uint64_t crc,
                  std::uint64_t field, const std::string& bytes) {
    made.patch(start + field, bytes);
    made.seal(start, length, crc);
}

void patch_superblock(MadeFilesystem& made, std::uint64_t field, const std::string& bytes) {
    patch_sealed(made, 0, 512, 224, field, bytes);
}

std::uint32_t number_at(const MadeFilesystem& made, std::uint64_t offset) {
    std::byte bytes[4];
    dt::FileDevice(made.path()).read(offset, bytes);
    return be32(bytes, 0);
}

} // namespace

TEST(Damage, SuperblockChecksum) {
    MadeFilesystem made(v5);
    made.patch(108, "x"); // the label
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 60);
    expect_damaged(made, "superblock (at byte 0) has a bad checksum");
}

TEST(Damage, UnknownFeaturesAreNamed) {
    for (const auto& [field, bits, name] :
         {std::tuple{216, 0x80000003u, "incompat_bit_31"}, std::tuple{216, 0x103u, "metadir"},
          std::tuple{216, 0x203u, "zoned"}, std::tuple{212, 0x15u, "ro_compat_bit_4"},
          std::tuple{200, 0x118bu, "features2_bit_12"}}) {
        MadeFilesystem made(v5);
        patch_superblock(made, static_cast<std::uint64_t>(field), big_endian_bytes(bits, 4));
        expect_unsupported(made, name);
    }
    MadeFilesystem compatible(v5); // even a writer may ignore these
    patch_superblock(compatible, 208, big_endian_bytes(0x20, 4));
    EXPECT_GT(Opened(compatible.path())->free_extents().total(), 0u);
}

TEST(Damage, OtherVersions) {
    MadeFilesystem made(v4);
    const std::uint32_t version = number_at(made, 98) & 0xffff;
    made.patch(100, big_endian_bytes((version & 0xfff0) | 3, 2));
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 60);
    expect_unsupported(made, "version 3");
    made.patch(100, big_endian_bytes(version | 0x200, 2));
    expect_unsupported(made, "shared");
}

TEST(Damage, MarkedAsInNeedOfRepair) {
    MadeFilesystem made(v5);
    patch_superblock(made, 216, big_endian_bytes(0x1b, 4));
    expect_damaged(made, "needsrepair");
}

TEST(Damage, MkfsWasInterrupted) {
    for (const Recipe& recipe : {v4, v5}) {
        MadeFilesystem made(recipe);
        made.patch(126, "\x01");
        if (made.superblock().features.has_checksums())
            made.seal(0, 512, 224);
        expect_damaged(made, "was interrupted on it");
    }
}

TEST(Damage, LargerThanTheDevice) {
    MadeFilesystem made(v5);
    made.truncate(made.size() - 4096);
    expect_damaged(made, "superblock says 64 MiB (67108864 bytes), but the device has only");
}

TEST(Damage, GeometryThatMakesNoSense) {
    for (const auto& [field, bytes, value, words] :
         {std::tuple{4, 4, 0x1001ull, "block size is 4097"},
          std::tuple{4, 4, 0x20000ull, "block size is 131072"},
          std::tuple{102, 2, 256ull, "sector size is 256"},
          std::tuple{102, 2, 0x2000ull, "sector size is 8192"},
          std::tuple{8, 8, ~0ull, "it counts 18446744073709551615 blocks"},
          std::tuple{8, 8, 0ull, "it counts 0 blocks"},
          std::tuple{84, 4, 1ull, "allocation groups have 1 blocks"},
          std::tuple{88, 4, 0ull, "it has 0 groups"},
          std::tuple{88, 4, 5ull, "it has 5 groups"},
          std::tuple{96, 4, 5ull, "log has 5 blocks"},
          std::tuple{96, 4, 0xfffffull, "log has 1048575 blocks"},
          std::tuple{48, 8, ~0ull, "log is said to lie"},
          std::tuple{48, 8, 1ull << 40, "log is said to lie"},
          std::tuple{56, 8, 1ull << 50, "root directory"},
          std::tuple{56, 8, 0ull, "root directory"},
          std::tuple{104, 2, 777ull, "inode size is 777"},
          std::tuple{106, 2, 9ull, "9 (2^"},
          std::tuple{124, 1, 40ull, "(2^40)"},
          std::tuple{192, 1, 9ull, "directory blocks have 2^9"},
          std::tuple{16, 8, 1ull << 60, "realtime blocks"}}) {
        MadeFilesystem made(v4);
        made.patch(static_cast<std::uint64_t>(field), big_endian_bytes(value, static_cast<std::size_t>(bytes)));
        expect_damaged(made, words);
    }
}

TEST(Damage, ChecksumsOfGroupHeaders) {
    const std::uint64_t group_1 = MadeFilesystem(v5).superblock().offset(1, 0);
    for (const auto& [offset, words] : {std::pair{agf + 60, "free-space header (AGF) of group 1"},
                                        std::pair{agi + 20, "inode header (AGI) of group 1"},
                                        std::pair{agfl + 40, "reserved blocks (AGFL) of group 1"}}) {
        MadeFilesystem made(v5);
        made.patch(group_1 + offset, "\x05");
        expect_damaged(made, words);
        expect_damaged(made, "has a bad checksum");
        expect_damaged(made, fmt::format("(at byte {})", group_1 + offset / 512 * 512));
    }
}

TEST(Damage, GroupHeadersOfOtherPlaces) {
    for (const auto& [start, crc, uuid, words] :
         {std::tuple{agf, 216, 64, "(AGF) of group 0"}, std::tuple{agi, 312, 296, "(AGI) of group 0"},
          std::tuple{agfl, 32, 8, "(AGFL) of group 0"}}) {
        MadeFilesystem made(v5);
        const auto checksum = static_cast<std::uint64_t>(crc);
        patch_sealed(made, start, 512, checksum, static_cast<std::uint64_t>(uuid), "another one's id");
        expect_damaged(made, words);
        expect_damaged(made, "belongs to a file system with another UUID");
        MadeFilesystem number(v5);
        patch_sealed(number, start, 512, checksum, start == agfl ? 4 : 8, big_endian_bytes(3, 4));
        expect_damaged(number, "is that of group 3");
        MadeFilesystem magic(v5);
        magic.patch(start, "?");
        expect_damaged(magic, "has no magic number");
    }
    MadeFilesystem copy(v4); // of the superblock, in group 1
    const std::uint64_t group_1 = copy.superblock().offset(1, 0);
    copy.patch(group_1 + 84, big_endian_bytes(777, 4));
    expect_damaged(copy, "copy of the superblock of group 1");
    copy.patch(group_1, "?");
    expect_damaged(copy, "has no magic number");
}

TEST(Damage, FreeSpaceHeaderThatMakesNoSense) {
    for (const auto& [field, value, words] :
         {std::tuple{4, 2u, "has version 2"}, std::tuple{12, 77u, "77 blocks instead of 4096"},
          std::tuple{28, 0u, "a tree of free space with 0 levels"}, std::tuple{28, 200u, "with 200 levels"},
          std::tuple{52, 0xffffffffu, "counts 4294967295 blocks free"}, std::tuple{48, 5000u, "counts"},
          std::tuple{60, 0xffffffffu, "in trees"}, std::tuple{56, 0xfffffu, "in one piece"},
          std::tuple{40, 128u, "number 128 to"}, std::tuple{44, 0xffffffffu, "to 4294967295 of 128"},
          std::tuple{48, 8u, "has 8 reserved blocks"}}) {
        MadeFilesystem made(v4);
        made.patch(agf + static_cast<std::uint64_t>(field), big_endian_bytes(value, 4));
        expect_damaged(made, words);
    }
    MadeFilesystem made(v4);
    made.patch(agi + 12, big_endian_bytes(3, 4));
    expect_damaged(made,
                   "inode header (AGI) of group 0 (at byte 1024) has version 1 and 3 blocks instead of 4096");
}

TEST(Damage, TreesThatPointOutside) {
    for (const std::uint32_t block : {0u, 4096u, 0xffffffffu}) {
        MadeFilesystem root(v4);
        root.patch(agf + 16, big_endian_bytes(block, 4));
        expect_damaged_map(root,
                           fmt::format("tree of free space of group 0 is said to have a block {}", block));
        MadeFilesystem reserved(v4);
        reserved.patch(agfl + 4 * number_at(reserved, agf + 40), big_endian_bytes(block, 4));
        expect_damaged_map(reserved, fmt::format("a reserved block lies at block {} of 4096", block));
        MadeFilesystem other(v4);
        other.patch(agf + 20, big_endian_bytes(block, 4));
        expect_damaged_map(other, "the tree of free space by size lies at");
    }
}

TEST(Damage, TreeBlockThatIsNotOne) {
    const auto expect = [](std::uint64_t field, const std::string& bytes, bool seal, const std::string& words) {
        MadeFilesystem made(v5);
        made.patch(tree + field, bytes);
        if (seal)
            made.seal(tree, 4096, 52);
        expect_damaged_map(made, "block 1 of the tree of free space of group 0 (at byte 4096) " + words);
    };
    expect(0, "?", true, "has no magic number");
    expect(3000, "?", false, "has a bad checksum");
    expect(32, "another one's id", true, "belongs to a file system with another UUID");
    expect(48, big_endian_bytes(2, 4), true, "belongs to another place");
    expect(16, big_endian_bytes(16, 8), true, "belongs to another place");
    expect(4, big_endian_bytes(1, 2), true, "is of level 1 instead of 0");
    expect(6, big_endian_bytes(600, 2), true, "has 600 records");
    expect(8, big_endian_bytes(5, 4), true, "and its left sibling do not name each other");
    expect(12, big_endian_bytes(5, 4), true, "has a right sibling, block 5");
}

TEST(Damage, RecordsOutOfBounds) {
    for (const auto& [start, count] : {std::pair{0u, 10u}, std::pair{5u, 0u}, std::pair{4090u, 7u},
                                       std::pair{5u, 0xffffffffu}, std::pair{0xffffffffu, 0xffffffffu}}) {
        MadeFilesystem made(v4);
        made.patch(records_4, big_endian_bytes(start, 4) + big_endian_bytes(count, 4));
        expect_damaged_map(
            made,
            fmt::format("calls {} blocks from {} on free, which are out of order or outside", count, start));
    }
}

TEST(Damage, RecordsThatOverlap) {
    MadeFilesystem made(v4);
    const std::uint32_t start = number_at(made, records_4), count = number_at(made, records_4 + 4);
    made.patch(tree + 6, big_endian_bytes(2, 2));
    made.patch(records_4, big_endian_bytes(start, 4) + big_endian_bytes(count / 2, 4));
    made.patch(records_4 + 8, big_endian_bytes(start + count / 2 - 1, 4) + big_endian_bytes(1, 4));
    expect_damaged_map(made, "out of order or outside");
}

TEST(Damage, CountsThatDoNotAgree) {
    MadeFilesystem total(v5);
    patch_sealed(total, agf, 512, 216, 52, big_endian_bytes(number_at(total, agf + 52) - 1, 4));
    patch_sealed(total, agf, 512, 216, 56, big_endian_bytes(9, 4));
    expect_damaged_map(total, "but the group's header (AGF) says");
    MadeFilesystem longest(v5);
    patch_sealed(longest, agf, 512, 216, 56, big_endian_bytes(9, 4));
    expect_damaged_map(longest, "and 9");
}

TEST(Damage, WhatIsInUseIsCalledFree) {
    MadeFilesystem made(v4);
    const std::uint32_t last = number_at(made, agf + 36 + 8); // index of the last block in the AGFL
    const std::uint32_t inside = number_at(made, records_4) + 5;
    made.patch(agfl + 4 * last, big_endian_bytes(inside, 4));
    expect_damaged_map(made, fmt::format("calls block {} of group 0 (at byte {}) free, which is in use", inside,
                                         inside * 4096));
    made.patch(agfl + 4 * last, big_endian_bytes(1, 4)); // the tree itself
    expect_damaged_map(made, "two of its structures");
    MadeFilesystem log({"v4", 64, "-m crc=0 -l size=6m"});
    const Superblock super = log.superblock();
    const std::uint64_t next = super.log_start + super.log_blocks + 64; // free, and zeros: so the log is clean
    log.patch(48, big_endian_bytes(next, 8));
    expect_damaged_map(log,
                       fmt::format("calls block {} of group", super.log_place().block + super.log_blocks + 64));
}

namespace {

/// Of two levels; the root's first pointer and key lie at these places.
struct TwoLevels {
    MadeFilesystem made{Recipe{"v4", 64, "-m crc=0 -b size=512 -l size=8m"}, 200};
    std::uint64_t root = number_at(made, agf + 16) * 512ull;
    std::uint64_t key = root + 16;
    std::uint64_t pointer = root + 16 + (512 - 16) / 12 * 8;
    std::uint32_t children = number_at(made, root + 4) & 0xffff;
    std::uint64_t child(std::uint64_t number) const { return number_at(made, pointer + 4 * number) * 512ull; }
};

} // namespace

TEST(Damage, LoopsInTheTree) {
    {
        TwoLevels tree_of;
        ASSERT_EQ(number_at(tree_of.made, agf + 28), 2u);
        ASSERT_GE(tree_of.children, 2u);
        EXPECT_GT(Opened(tree_of.made.path())->free_extents().count(), 62u);
        tree_of.made.patch(tree_of.pointer, big_endian_bytes(tree_of.root / 512, 4)); // itself
        expect_damaged_map(tree_of.made, "is of level 1 instead of 0");
    }
    {
        TwoLevels tree_of; // the first child once more
        tree_of.made.patch(tree_of.pointer + 4, big_endian_bytes(tree_of.child(0) / 512, 4));
        expect_damaged_map(tree_of.made, "do not name each other");
        // Siblings that agree with it do not help.
        tree_of.made.patch(tree_of.child(0) + 8, big_endian_bytes(tree_of.child(0) / 512, 4));
        expect_damaged_map(tree_of.made, "do not name each other");
    }
    {
        TwoLevels tree_of; // an empty leaf
        tree_of.made.patch(tree_of.child(1) + 6, big_endian_bytes(0, 2));
        expect_damaged_map(tree_of.made, "has 0 records");
    }
    {
        TwoLevels tree_of;
        tree_of.made.patch(tree_of.key + 8, big_endian_bytes(number_at(tree_of.made, tree_of.key + 8) + 1, 4));
        expect_damaged_map(tree_of.made, "but it does not");
    }
    {
        TwoLevels tree_of; // a leaf less than there are
        tree_of.made.patch(tree_of.root + 6, big_endian_bytes(tree_of.children - 1, 2));
        expect_damaged_map(tree_of.made, "that is not in the tree");
    }
}

// Each field of superblock and headers in turn, with the values that break arithmetic.
TEST(Hostile, AbsurdHeadersAreRefusedOrHarmless) {
    for (const Recipe& recipe : {v4, Recipe{"v4_512", 64, "-m crc=0 -b size=512 -l size=8m"}}) {
        MadeFilesystem made(recipe);
        dt::FileDevice file(made.path());
        dt::MemoryDevice device(file.size());
        for (const Extent& extent : file.extents({0, file.size()})) {
            if (extent.kind != ExtentKind::data)
                continue;
            std::vector<std::byte> data(extent.range.length);
            file.read(extent.range.offset, data);
            device.write(extent.range.offset, data);
        }
        int refused = 0;
        for (std::uint64_t field = 0; field < 2048; field += field % 512 < 128 ? 2 : 32)
            for (const unsigned value : {0u, 1u, 0x7fffu, 0xffffu}) {
                std::byte before[2];
                device.read(field, before);
                const std::byte bytes[2] = {std::byte(value >> 8), std::byte(value & 0xff)};
                device.write(field, bytes);
                try {
                    Plugin().probe(device);
                    const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
                    filesystem->usage();
                    filesystem->details();
                    if (filesystem->state().free_map_trusted) {
                        const FilesystemUsage usage = filesystem->usage();
                        EXPECT_LE(usage.size, device.size());
                        EXPECT_LE(filesystem->free_extents().total(), usage.free);
                    }
                } catch (const Error& error) {
                    EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                        << error.what();
                    ++refused;
                }
                device.write(field, before);
            }
        EXPECT_GT(refused, 200);
        EXPECT_GT(Plugin().open(device)->free_extents().total(), 0u);
    }
}

// What the host cannot read is the host's trouble, not damage of the file system.
TEST(Hostile, InputErrorsComeThrough) {
    MadeFilesystem made(v5);
    dt::FileDevice file(made.path());
    std::vector<std::byte> head(1 * MiB);
    file.read(0, head);
    dt::MemoryDevice device(file.size());
    device.write(0, head);
    device.fail_at(agf);
    EXPECT_THROW(Plugin().open(device)->free_extents(), SystemError);
    device.heal();
    device.fail_at(0);
    EXPECT_THROW(Plugin().open(device), SystemError);
}

} // namespace disktool::xfs::test
