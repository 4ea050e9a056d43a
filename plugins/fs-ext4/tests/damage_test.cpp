// SPDX-License-Identifier: LGPL-2.1-or-later
// Broken, foreign and hostile file systems: refused by a sentence, never by a crash.
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

namespace disktool::ext4::test {

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

std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

// ext2 with blocks of 1 KiB has no checksums, its descriptors are in block 2, 32 bytes each.
const Recipe ext2{"ext2", 20000, "-t ext2 -b 1024"};
const Recipe ext4{"ext4", 40000, "-t ext4 -b 1024"};
constexpr std::uint64_t descriptors = 2048;
constexpr std::uint64_t superblock = 1024;

} // namespace

TEST(Damage, SuperblockChecksum) {
    MadeFilesystem made(ext4);
    made.patch(superblock + 120, "x"); // the label
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 60);
    expect_damaged(made, "superblock (at byte 1024) has a bad checksum");
}

TEST(Damage, UnknownKindOfChecksum) {
    MadeFilesystem made(ext4);
    made.patch(superblock + 0x175, "\x02");
    expect_unsupported(made, "kind of metadata checksum");
}

TEST(Damage, UnknownFeaturesAreNamed) {
    for (const auto& [field, bits, name] : {std::tuple{"feature_incompat", 0x402c2, "FEATURE_I18"},
                                            std::tuple{"feature_compat", 0x8003c, "FEATURE_C19"},
                                            std::tuple{"feature_ro_compat", 0x9046b, "FEATURE_R19"},
                                            std::tuple{"feature_incompat", 0x2c3, "compression"}}) {
        MadeFilesystem made(ext4);
        made.debugfs(fmt::format("set_super_value {} {}", field, bits));
        expect_unsupported(made, name);
    }
}

TEST(Damage, JournalDeviceIsNamed) {
    MadeFilesystem made({"journal", 20000, "-O journal_dev"});
    dt::FileDevice device(made.path());
    EXPECT_GT(Plugin().probe(device), 0);
    expect_unsupported(made, "external journal");
}

TEST(Damage, LargerThanTheDevice) {
    MadeFilesystem made(ext4);
    made.truncate(made.size() - 4096);
    expect_damaged(made, "superblock says 39.1 MiB (40960000 bytes), but the device has only");
}

TEST(Damage, DescriptorChecksum) {
    MadeFilesystem made(ext4);
    made.patch(descriptors + 64 + 4, "\x05"); // the inode bitmap of group 1
    expect_damaged(made, "descriptor of group 1 has a bad checksum");
}

TEST(Damage, DescriptorsPointOutside) {
    for (const auto& [field, what] :
         {std::pair{0, "block bitmap"}, std::pair{4, "inode bitmap"}, std::pair{8, "inode table"}})
        for (const std::uint64_t block :
             {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{20000}, std::uint64_t{0xffffffff}}) {
            MadeFilesystem made(ext2);
            made.patch(descriptors + 32 + field, little_endian(block, 4));
            expect_damaged(made, fmt::format("the {} of group 1 is said to lie at block {}", what, block));
        }
    MadeFilesystem made(ext2); // starts inside, ends outside
    made.patch(descriptors + 64 + 8, little_endian(19999, 4));
    expect_damaged(made, "the inode table of group 2 is said to lie at block 19999 of 20000");
}

TEST(Damage, TwoStructuresInOneBlock) {
    MadeFilesystem made(ext2);
    made.patch(descriptors + 32, little_endian(8193, 4)); // the backup superblock of group 1
    expect_damaged(made, "two structures in the same blocks");
}

TEST(Damage, CountsThatDoNotAgree) {
    MadeFilesystem groups(ext2);
    groups.patch(superblock + 12, little_endian(77, 4));
    expect_damaged(groups, "the superblock 77");

    MadeFilesystem impossible(ext2);
    impossible.patch(descriptors + 12, little_endian(8193, 2));
    expect_damaged(impossible, "group 0 counts more free than it holds");
}

TEST(Damage, BitmapChecksum) {
    MadeFilesystem made(ext4);
    // Group 0's bitmap: its place is in the first descriptor.
    std::byte place[4];
    dt::FileDevice device(made.path());
    device.read(descriptors, place);
    const std::uint64_t block = std::to_integer<unsigned>(place[0]) | std::to_integer<unsigned>(place[1]) << 8;
    made.patch(block * 1024 + 1000, "\x01");
    expect_damaged_map(made, fmt::format("the block bitmap of group 0 (block {}) has a bad checksum", block));
}

TEST(Damage, BitmapWithoutAChecksumIsHeldAgainstTheCounts) {
    MadeFilesystem made(ext2);
    std::byte place[4];
    dt::FileDevice(made.path()).read(descriptors, place);
    const std::uint64_t block = std::to_integer<unsigned>(place[0]) | std::to_integer<unsigned>(place[1]) << 8;
    made.patch(block * 1024 + 1000, "\x01");
    expect_damaged_map(made, "its descriptor says");
    // With the right count, but metadata called free and a free block called used instead.
    made.patch(block * 1024, "\xfe");
    expect_damaged_map(made, "calls metadata at block 1 free");
}

TEST(Damage, UninitialisedGroupThatCountsWrong) {
    MadeFilesystem made({"gdt_csum", 65536, "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg"});
    // Move one block from an uninitialised group's count to another one's, checksums put right.
    const std::string dump = dt::run_tool({"dumpe2fs", made.path()});
    ASSERT_NE(dump.find("BLOCK_UNINIT"), std::string::npos);
    const std::string commands = made.beside("commands");
    dt::write_file(commands, "set_block_group 2 free_blocks_count 8191\nset_block_group 2 checksum calc\n"
                             "set_block_group 0 free_blocks_count 1\nset_block_group 0 checksum calc\n");
    dt::run_tool({"debugfs", "-w", "-f", commands, made.path()});
    std::uint64_t free = 0;
    for (int group = 0; group < 8; ++group) {
        std::byte count[2];
        dt::FileDevice(made.path()).read(descriptors + 64 * group + 12, count);
        free += std::to_integer<unsigned>(count[0]) | std::to_integer<unsigned>(count[1]) << 8;
    }
    made.debugfs(fmt::format("set_super_value free_blocks_count {}", free));
    expect_error([&] { Opened(made.path())->free_extents(); }, ErrorCode::damaged, Reason::filesystem_damaged,
                 "its descriptor says 1");
}

TEST(Damage, MultipleMountProtection) {
    MadeFilesystem outside({"mmp", 40000, "-t ext4 -b 1024 -O mmp"});
    const std::uint64_t block = std::stoull(outside.header("MMP block number"));
    outside.patch(block * 1024, little_endian(0, 4));
    expect_damaged(outside, fmt::format("multiple-mount protection (block {}) is not valid", block));
    MadeFilesystem made({"mmp", 40000, "-t ext4 -b 1024 -O mmp,^metadata_csum"});
    made.patch(superblock + 0x168, little_endian(40000, 8));
    expect_damaged(made, "multiple-mount protection is said to lie at block 40000");
}

// Each field of the superblock in turn, with the values that break arithmetic.
TEST(Hostile, AbsurdSuperblocksAreRefusedOrHarmless) {
    for (const Recipe& recipe :
         {ext2, Recipe{"ext4", 20000, "-t ext4 -b 1024 -O ^metadata_csum,meta_bg,^resize_inode"},
          Recipe{"bigalloc", 20000, "-t ext4 -b 1024 -O ^metadata_csum,bigalloc -C 4096"}}) {
        MadeFilesystem made(recipe);
        dt::FileDevice file(made.path());
        std::vector<std::byte> head(256 * KiB);
        file.read(0, head);
        int refused = 0;
        for (std::uint64_t field = 0; field < 0x180; field += 2)
            for (const unsigned value : {0u, 1u, 7u, 0x20u, 0xffu, 0x7fffu, 0x8000u, 0xffffu}) {
                dt::MemoryDevice device(20000 * KiB);
                device.write(0, head);
                const std::byte bytes[2] = {std::byte(value & 0xff), std::byte(value >> 8)};
                device.write(superblock + field, bytes);
                try {
                    Plugin().probe(device);
                    const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
                    filesystem->usage();
                    filesystem->details();
                    filesystem->free_extents();
                    EXPECT_LE(filesystem->minimum_size().bytes, device.size());
                } catch (const Error& error) {
                    EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                        << error.what();
                    ++refused;
                }
            }
        EXPECT_GT(refused, 200) << recipe.name;
    }
}

// What the device throws comes out as it was, though libext2fs is in between.
TEST(Hostile, ReadErrorsPassThrough) {
    MadeFilesystem made(ext2);
    dt::FileDevice file(made.path());
    std::vector<std::byte> all(file.size());
    file.read(0, all);
    for (const std::uint64_t place : {superblock, descriptors}) {
        dt::MemoryDevice device(all.size());
        device.write(0, all);
        device.fail_at(place);
        try {
            Plugin().open(device);
            ADD_FAILURE() << "opened in spite of an I/O error at " << place;
        } catch (const SystemError& error) {
            EXPECT_EQ(error.error_number(), EIO);
        }
    }
}

} // namespace disktool::ext4::test
