// SPDX-License-Identifier: GPL-2.0-or-later
// Broken, foreign and hostile file systems: refused by a sentence, never by a crash.
#include "made_ntfs.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace disktool::ntfs::test {

namespace dt = disktool::test;

namespace {

const Recipe small{"small", 32 * MiB, "-c 4096"};
constexpr std::uint64_t mft = 4 * 4096; // where mkntfs puts it

void look_at(BlockDevice& device) {
    const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
    filesystem->usage();
    filesystem->details();
    filesystem->free_extents();
    EXPECT_LE(filesystem->minimum_size().bytes, device.size());
}

void expect_damaged(const MadeNtfs& made, const std::string& words) {
    dt::FileDevice device(made.path());
    try {
        look_at(device);
        ADD_FAILURE() << "no error; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(name(error.code()), "damaged") << error.what();
        EXPECT_EQ(name(error.reason()), "filesystem_damaged") << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos)
            << error.what() << "\nshould say: " << words;
        EXPECT_NE(std::string(error.what()).find("chkdsk"), std::string::npos) << error.what();
    }
}

struct Patch {
    std::uint64_t offset;
    std::string bytes;
    const char* words;
};

} // namespace

TEST(Probe, KnowsItsOwn) {
    MadeNtfs made(small);
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 100);
    made.patch(3, "-FVE-FS-"); // BitLocker
    EXPECT_EQ(Plugin().probe(device), 0);
    made.patch(3, "NTFS    ");
    made.patch(0x0d, std::string(1, '\x03'));
    EXPECT_EQ(Plugin().probe(device), 60);
    dt::MemoryDevice empty(64 * KiB);
    EXPECT_EQ(Plugin().probe(empty), 0);
    dt::MemoryDevice nothing(100);
    EXPECT_EQ(Plugin().probe(nothing), 0);
    EXPECT_THROW(Plugin().open(empty), Error);
}

TEST(Usage, AsBlkidAndNtfsinfoTellIt) {
    MadeNtfs made({"labelled", 40 * MiB, "-L Gr\u00fc\u00dfe\U0001F600"});
    Opened opened(made.path());
    const FilesystemUsage usage = opened->usage();
    EXPECT_EQ(opened->type(), "ntfs");
    EXPECT_EQ(usage.size, 40 * MiB);
    EXPECT_EQ(usage.block_size, 4096u);
    EXPECT_EQ(usage.label + "\n", dt::run_tool({"blkid", "-p", "-o", "value", "-s", "LABEL", made.path()}));
    EXPECT_EQ(usage.uuid + "\n", dt::run_tool({"blkid", "-p", "-o", "value", "-s", "UUID", made.path()}));
}

TEST(Damage, BootSector) {
    for (const Patch& patch :
         {Patch{0x0b, little_endian(0, 2), "sectors have 0 bytes"},
          Patch{0x0b, little_endian(256, 2), "sectors have 256 bytes"},
          Patch{0x0b, little_endian(1000, 2), "sectors have 1000 bytes"},
          Patch{0x0d, little_endian(0, 1), "cluster size"}, Patch{0x0d, little_endian(24, 1), "cluster size"},
          Patch{0x0d, little_endian(0x81, 1), "cluster size"}, Patch{0x0e, little_endian(1, 2), "only FAT"},
          Patch{0x40, little_endian(0, 1), "MFT records"}, Patch{0x40, little_endian(0xe0, 1), "MFT records"},
          Patch{0x44, little_endian(0x80, 1), "index blocks"},
          Patch{0x28, little_endian(0, 8), "it counts 0 sectors"},
          Patch{0x28, little_endian(~0ull, 8), "it counts 18446744073709551615 sectors"},
          Patch{0x28, little_endian(65537, 8), "but the device has only 32 MiB"},
          Patch{0x30, little_endian(0, 8), "at cluster 0"},
          Patch{0x30, little_endian(8191, 8), "at cluster 8191"},
          Patch{0x38, little_endian(~0ull, 8), "mirror"},
          Patch{0x30, little_endian(100, 8), "no sound MFT record 0 at byte 409600"},
          Patch{0x30, little_endian(5, 8), "do not agree on where the MFT lies"}}) {
        MadeNtfs made(small);
        made.patch(patch.offset, patch.bytes);
        expect_damaged(made, patch.words);
    }
}

TEST(Damage, Truncated) {
    MadeNtfs made(small);
    std::filesystem::resize_file(made.path(), 30 * MiB);
    expect_damaged(made, "but the device has only 30 MiB");
}

TEST(Damage, Records) {
    for (const Patch& patch :
         {Patch{0, "BAAD", "no sound MFT record 0"}, Patch{6, "\x09", "no sound MFT record 0"},
          Patch{4, "\xff", "no sound MFT record 0"}, Patch{510, "x", "no sound MFT record 0"},
          Patch{0x14, "\xff", "no sound MFT record 0"}, Patch{0x18, "\xff\xff", "no sound MFT record 0"},
          Patch{3 * 1024, "BAAD", "MFT record 3 is not sound"},
          Patch{6 * 1024 + 1022, "xy", "MFT record 6 is not sound"},
          Patch{5 * 1024 + 0x16, std::string(1, '\0'), "MFT record 5 is not in use"},
          Patch{2 * 1024 + 0x16, std::string(1, '\0'), "MFT record 2 is not in use"}}) {
        MadeNtfs made(small);
        made.patch(mft + patch.offset, patch.bytes);
        expect_damaged(made, patch.words);
    }
}

TEST(Damage, BitmapThatCallsMetadataFree) {
    for (const std::uint64_t file : {mft_file, mirror_file, log_file, boot_file, bitmap_file}) {
        MadeNtfs made(small);
        const OpenedVolume opened(made.path());
        const std::uint64_t cluster = opened.place_of(file) / 4096;
        const std::uint64_t at = opened.place_of(bitmap_file) + cluster / 8;
        const unsigned byte = static_cast<unsigned char>(made.read(at, 1)[0]);
        made.patch(at, std::string(1, static_cast<char>(byte & ~(1u << cluster % 8))));
        expect_damaged(made, fmt::format("calls metadata at byte {} free", cluster * 4096));
    }
}

TEST(Damage, BitmapTooShort) {
    MadeNtfs made({"short", 64 * MiB, "-c 512"});
    std::uint64_t at = 0;
    {
        const OpenedVolume opened(made.path());
        at = opened.volume.mft().runs[0].lcn * 512;
    }
    const std::string record = made.read(at + 6 * 1024, 1024);
    int patched = 0;
    for (std::size_t field = 0; field + 8 <= record.size(); field += 8)
        if (record.substr(field, 8) == little_endian(64 * MiB / 512 / 8, 8)) {
            made.patch(at + 6 * 1024 + field, little_endian(100, 8));
            ++patched;
        }
    ASSERT_GE(patched, 2);
    expect_damaged(made, "does not hold a bit for each");
}

TEST(Damage, RunListsOutsideTheVolume) {
    MadeNtfs made(small);
    const std::string record = made.read(mft + 6 * 1024, 1024);
    const OpenedVolume opened(made.path());
    const std::uint64_t lcn = opened.place_of(bitmap_file) / 4096;
    const std::size_t width = lcn < 0x80 ? 1 : 2;
    const std::size_t at =
        record.find(std::string(width == 1 ? "\x11\x01" : "\x21\x01") + little_endian(lcn, width));
    ASSERT_NE(at, std::string::npos) << lcn;
    for (const char* run : {"\x11\x01\x80", "\x11\xff\x10", "\x91\x01\x10", "\x1f\x01\x10", "\x10\x01\x10"}) {
        made.patch(mft + 6 * 1024 + at, run);
        expect_damaged(made, "MFT record 6");
    }
}

// Every byte of what matters, with values that break arithmetic: an error or an answer, never a crash. Update
// sequences stay right where the byte is not theirs.
TEST(Hostile, AbsurdBytesAreRefusedOrHarmless) {
    MadeNtfs made(small);
    dt::FileDevice file(made.path());
    dt::MemoryDevice device(file.size());
    for (const Extent& extent : file.extents({0, file.size()})) {
        if (extent.kind == ExtentKind::unallocated)
            continue;
        std::vector<std::byte> data(extent.range.length);
        file.read(extent.range.offset, data);
        device.write(extent.range.offset, data);
    }
    int refused = 0;
    int tried = 0;
    const auto attempt = [&](std::uint64_t offset, unsigned value) {
        std::byte before[1];
        device.read(offset, before);
        const std::byte byte[1] = {std::byte(value)};
        device.write(offset, byte);
        ++tried;
        try {
            Plugin().probe(device);
            look_at(device);
        } catch (const Error& error) {
            EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                << error.what();
            ++refused;
        }
        device.write(offset, before);
    };
    for (std::uint64_t at = 0x0b; at < 0x50; ++at)
        for (const unsigned value : {0u, 1u, 0x7fu, 0x80u, 0xffu})
            attempt(at, value);
    for (const std::uint64_t record : {0, 1, 2, 3, 5, 6, 8})
        for (std::uint64_t at = 0; at < 0x1f0; at += 1)
            for (const unsigned value : {0u, 0x80u, 0xffu})
                attempt(mft + record * 1024 + at, value);
    EXPECT_GT(refused, tried / 10) << tried;
    look_at(device); // and all is as it was
}

// What the device throws comes out as it was.
TEST(Hostile, ReadErrorsPassThrough) {
    MadeNtfs made(small);
    dt::FileDevice file(made.path());
    std::vector<std::byte> all(file.size());
    file.read(0, all);
    const std::uint64_t bitmap = OpenedVolume(made.path()).place_of(bitmap_file);
    for (const std::uint64_t place : {std::uint64_t{0}, mft, mft + 3 * 1024, bitmap}) {
        dt::MemoryDevice device(all.size());
        device.write(0, all);
        device.fail_at(place);
        try {
            look_at(device);
            ADD_FAILURE() << "opened in spite of an I/O error at " << place;
        } catch (const SystemError& error) {
            EXPECT_EQ(error.error_number(), EIO);
        }
    }
}

} // namespace disktool::ntfs::test
