// SPDX-License-Identifier: LGPL-2.1-or-later
// Dirty, broken, foreign and hostile file systems: refused by a sentence, never by a crash.
#include "made_fat.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace disktool::fat::test {

namespace dt = disktool::test;

namespace {

const Recipe fat12{"fat12", 1440, "mkfs.fat -F 12"};
const Recipe fat16{"fat16", 20000, "mkfs.fat -F 16 -s 4 -R 1"};
const Recipe fat32{"fat32", 65536, "mkfs.fat -F 32"};
const Recipe exfat{"exfat", 20000, "mkfs.exfat"};

std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

std::uint64_t number(const MadeFat& made, std::uint64_t offset, std::size_t length) {
    std::uint64_t value = 0;
    const std::string bytes = made.bytes(offset, length);
    for (std::size_t i = length; i-- > 0;)
        value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

std::uint64_t table(const MadeFat& made) {
    return made.exfat() ? number(made, 80, 4) * 512 : number(made, 14, 2) * 512;
}
std::uint64_t data(const MadeFat& made) {
    return number(made, 88, 4) * 512;
} // exFAT
std::uint64_t root(const MadeFat& made) {
    return data(made) + (number(made, 96, 4) - 2) * 512 * (1ull << number(made, 109, 1));
}

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

void expect_damaged(const MadeFat& made, const std::string& words) {
    expect_error([&] { Opened opened(made.path()); }, ErrorCode::damaged, Reason::filesystem_damaged, words);
}

void expect_damaged_map(const MadeFat& made, const std::string& words) {
    Opened opened(made.path());
    expect_error([&] { opened->free_extents(); }, ErrorCode::damaged, Reason::filesystem_damaged, words);
}

void expect_dirty(const MadeFat& made, Reason reason) {
    Opened opened(made.path());
    EXPECT_EQ(opened->state().reason, reason);
    EXPECT_FALSE(opened->state().free_map_trusted);
    EXPECT_EQ(opened->usage().free, 0u);
    expect_error([&] { opened->free_extents(); }, ErrorCode::damaged, reason, "cannot be analysed as it is");
    expect_error([&] { opened->minimum_size(); }, ErrorCode::damaged, reason, "cannot be analysed as it is");
}

} // namespace

TEST(Dirty, FlagsOfTheTable) {
    MadeFat sixteen(fat16);
    sixteen.patch(table(sixteen) + 2, little_endian(0x7fff, 2));
    expect_dirty(sixteen, Reason::filesystem_dirty);
    sixteen.patch(table(sixteen) + 2, little_endian(0xbfff, 2));
    expect_dirty(sixteen, Reason::filesystem_has_errors);
    MadeFat thirty_two(fat32);
    thirty_two.patch(table(thirty_two) + 4, little_endian(0x07ffffff, 4));
    expect_dirty(thirty_two, Reason::filesystem_dirty);
    thirty_two.patch(table(thirty_two) + 4, little_endian(0x0bffffff, 4));
    expect_dirty(thirty_two, Reason::filesystem_has_errors);
}

TEST(Dirty, FlagOfTheBootSector) {
    MadeFat sixteen(fat16);
    sixteen.patch(37, "\x01");
    expect_dirty(sixteen, Reason::filesystem_dirty);
    MadeFat thirty_two(fat32);
    thirty_two.patch(65, "\x01");
    expect_dirty(thirty_two, Reason::filesystem_dirty);
}

TEST(Dirty, FlagsOfExfat) {
    MadeFat made(exfat);
    made.patch(106, "\x02");
    expect_dirty(made, Reason::filesystem_dirty);
    made.patch(106, "\x04");
    expect_dirty(made, Reason::filesystem_has_errors);
    made.patch(106, std::string(1, '\0'));
    EXPECT_TRUE(Opened(made.path())->state().clean());
}

TEST(Damage, TablesThatDiffer) {
    for (const Recipe& recipe : {fat12, fat16, fat32}) {
        MadeFat made(recipe);
        made.patch(table(made) + 100, "\x01");
        expect_damaged_map(made, fmt::format("FAT 1 and FAT 2 differ (bytes {} and ", table(made) + 100));
    }
}

// Then the one that counts is the one that is read.
TEST(ActiveTable, IsTheOneThatIsNamed) {
    MadeFat made(fat32);
    const std::uint64_t size = number(made, 36, 4) * 512;
    const std::uint64_t free = Opened(made.path())->free_extents().total();
    made.patch(table(made) + size + 400, little_endian(0x0fffffff, 4));
    made.patch(40, little_endian(0x80, 2));
    EXPECT_EQ(Opened(made.path())->free_extents().total(), free);
    made.patch(40, little_endian(0x81, 2));
    EXPECT_EQ(Opened(made.path())->free_extents().total(), free - 512);
}

TEST(Clusters, BadAndReservedOnesAreNotFree) {
    MadeFat made(fat16);
    const std::uint64_t free = Opened(made.path())->free_extents().total();
    for (const std::uint64_t at : {table(made), table(made) + number(made, 22, 2) * 512})
        made.patch(at + 100, little_endian(0xfff7, 2) + little_endian(0xfff0, 2) + little_endian(1, 2));
    EXPECT_EQ(Opened(made.path())->free_extents().total(), free - 3 * 2048);

    MadeFat bad(exfat);
    const ExtentSet before = Opened(bad.path())->free_extents();
    bad.patch(table(bad) + 1000 * 4, little_endian(0xfffffff7, 4));
    const ExtentSet lost = before.subtract(Opened(bad.path())->free_extents());
    EXPECT_EQ(lost.to_vector(), (std::vector<Range>{{data(bad) + 998 * 4096, 4096}}));
}

TEST(Damage, Fat) {
    MadeFat made(fat16);
    made.patch(table(made), "\xf0");
    expect_damaged(made, "does not start with the media byte 0xf8");
    MadeFat cut(fat16);
    std::filesystem::resize_file(cut.path(), 19000 * KiB);
    expect_damaged(cut, "boot sector says 19.5 MiB (20480000 bytes), but the device has only");
    MadeFat root_free(fat32);
    root_free.patch(table(root_free) + 8, little_endian(0, 4));
    expect_damaged(root_free, "calls cluster 2 free, where the root directory starts");
}

TEST(Damage, Exfat) {
    MadeFat checksum(exfat);
    checksum.patch(600, "x");
    {
        dt::FileDevice device(checksum.path());
        EXPECT_EQ(Plugin().probe(device), 60);
    }
    expect_damaged(checksum, "checksum of its boot region (at byte 5632) is wrong");
    struct {
        std::uint64_t offset;
        std::string bytes;
        const char* words;
    } const cases[] = {
        {72, little_endian(40001, 8), "says 40001 sectors, but the device has 40000"},
        {72, little_endian(~0ull, 8), "says 18446744073709551615 sectors"},
        {80, little_endian(2, 4), "do not lie one behind the other"},
        {84, little_endian(~0u, 4), "do not lie one behind the other"},
        {84, little_endian(1, 4), "clusters, for which there is no room"},
        {88, little_endian(~0u, 4), "do not lie one behind the other"},
        {92, little_endian(~0u, 4), "counts 4294967295 clusters"},
        {92, little_endian(0, 4), "counts 0 clusters"},
        {96, little_endian(1, 4), "root directory is said to be at cluster 1"},
        {108, "\x08", "sectors have 2^8 bytes"},
        {109, "\x11", "clusters 2^17 sectors"},
        {110, "\x03", "counts 3 FATs"},
        {20, "\x01", "fields of FAT"},
    };
    for (const auto& c : cases) {
        MadeFat made(exfat);
        made.patch(c.offset, c.bytes);
        made.seal_exfat();
        expect_damaged(made, c.words);
    }
}

TEST(Damage, ExfatRootAndBitmap) {
    MadeFat none(exfat);
    none.patch(root(none), std::string(1, '\0'));
    expect_damaged(none, "names no allocation bitmap");
    // mkfs.exfat puts label, bitmap and upcase table first, in this order.
    std::uint64_t entry = 0;
    while (static_cast<unsigned char>(none.bytes(root(none) + entry, 1)[0]) != 0x81)
        entry += 32;
    MadeFat length(exfat);
    length.patch(root(length) + entry + 24, little_endian(12345678, 8));
    expect_damaged(length, "is said to have 12345678 bytes");
    MadeFat outside(exfat);
    outside.patch(root(outside) + entry + 20, little_endian(1u << 30, 4));
    expect_damaged_map(outside, "leads to cluster 0x40000000");
    MadeFat loop(exfat);
    const std::uint64_t first = number(loop, root(loop) + entry + 20, 4);
    loop.patch(table(loop) + first * 4, little_endian(first, 4));
    expect_damaged_map(loop, "has more than 1 clusters");
    MadeFat itself(exfat);
    itself.patch(data(itself) + (first - 2) * 4096, std::string(1, '\0'));
    expect_damaged_map(itself, "calls the metadata at byte");
    MadeFat endless(exfat);
    const std::uint64_t start = number(endless, 96, 4);
    endless.patch(table(endless) + start * 4, little_endian(start, 4));
    expect_damaged(endless, "the chain of the root directory");
}

TEST(Refused, ByName) {
    MadeFat tex(exfat);
    tex.patch(110, "\x02");
    expect_error([&] { Opened opened(tex.path()); }, ErrorCode::unsupported, Reason::feature_not_supported,
                 "this is TexFAT");
    MadeFat newer(exfat);
    newer.patch(104, little_endian(0x0200, 2));
    expect_error([&] { Opened opened(newer.path()); }, ErrorCode::unsupported, Reason::feature_not_supported,
                 "exFAT of revision 2.00");
}

TEST(Probe, IsZeroForWhatIsNotFat) {
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{511}, MiB}) {
        dt::MemoryDevice nothing(size);
        EXPECT_EQ(Plugin().probe(nothing), 0);
        EXPECT_THROW(Plugin().open(nothing), Error);
    }
    // A master boot record has the same signature, and code before it.
    dt::MemoryDevice disk(1 * MiB);
    disk.write(0, std::vector<std::byte>(440, std::byte{0x5a}));
    disk.write(510, std::vector{std::byte{0x55}, std::byte{0xaa}});
    disk.write(0, std::vector{std::byte{0xeb}, std::byte{0x63}, std::byte{0x90}});
    EXPECT_EQ(Plugin().probe(disk), 0);
}

TEST(Hostile, BootSectorsAreRefusedOrHarmless) {
    for (const Recipe& recipe : {fat12, fat16, fat32, exfat}) {
        MadeFat made(recipe);
        const std::uint64_t size = std::filesystem::file_size(made.path());
        const std::string head = made.bytes(0, 256 * KiB);
        int refused = 0;
        for (std::uint64_t field = 0; field < 120; ++field)
            for (const unsigned value : {0u, 1u, 2u, 0x7fu, 0x80u, 0xffu}) {
                dt::MemoryDevice device(size);
                device.write(0, std::as_bytes(std::span(head)));
                device.write(field, std::vector{std::byte(value), std::byte(value)});
                try {
                    Plugin().probe(device);
                    const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
                    EXPECT_LE(filesystem->usage().size, size);
                    filesystem->details();
                    EXPECT_LE(filesystem->free_extents().span().end(), size);
                } catch (const Error& error) {
                    EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                        << error.what();
                    ++refused;
                }
            }
        EXPECT_GT(refused, 50) << recipe.name;
    }
}

} // namespace disktool::fat::test
