// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_images.h"
#include "extension.h"
#include "support/recording_door.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gcrypt.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::result_of;
using disktool::test::TemporaryFolder;

constexpr std::uint64_t cluster_size = 32768;
const std::string clean = "Image is clean, check is skipped\n";
const std::string reopen = "Reopen rw DIR/root.hds\n";
const std::string dirty = "Dirty flag is set\n";
const std::string not_repaired = "Fatal errors were found, image DIR/root.hds is not repaired\n";
const std::string read_only = "Image is clean but unable to fix the header on ro image\n";

class Check : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "root.hds";
    SmallImage image;

    /// Of the image as it is now in memory.
    CheckRun check(const std::string& letters) {
        image.write(path);
        const std::string before = read_file(path);
        CheckRun run = run_check(path, letters);
        EXPECT_EQ(run.result.changed, read_file(path) != before);
        return run;
    }
    void expect(const std::string& letters, int exit, const std::string& out, const std::string& err) {
        SCOPED_TRACE("check -" + letters);
        const CheckRun run = check(letters);
        EXPECT_EQ(run.out, out);
        EXPECT_EQ(run.err, err);
        EXPECT_EQ(run.result.exit_code, exit);
    }
    void expect_unchanged() {
        const std::string after = read_file(path);
        image.write(path);
        EXPECT_TRUE(read_file(path) == after);
    }
    void expect_sound(std::uint32_t in_use = 0) {
        const SeenImage seen = look_at(path);
        EXPECT_TRUE(seen.faults.empty());
        EXPECT_EQ(seen.in_use, in_use);
        if (in_use == 0) { // QEMU counts an extension as a leak
            EXPECT_EQ(result_of({"qemu-img", "check", "-f", "parallels", path}).exit_status, 0);
        }
        const CheckRun again = run_check(path, "fcr");
        EXPECT_EQ(again.result.exit_code, 0) << again.err;
    }
    void for_both_versions(const std::function<void()>& test) {
        for (const Version version : {Version::v1, Version::v2}) {
            SCOPED_TRACE(version == Version::v1 ? "version 1" : "version 2");
            image = SmallImage(version);
            test();
        }
    }
};

TEST_F(Check, OfASoundImage) {
    for_both_versions([&] {
        expect("", 0, clean, "");
        expect("s", 0, "", "");
        expect("cd", 0, clean, "");
        expect("f", 0, reopen, "");
        expect("Fcd", 0, reopen, "");
        expect("fcr", 0, "", "");
        expect_unchanged();
    });
}

TEST_F(Check, OfADirtyImage) {
    for_both_versions([&] {
        image.header.in_use = in_use_mark;
        expect("", 37, reopen, dirty);
        expect("Fc", 37, reopen, dirty);
        expect("r", 37, "", dirty);
        expect("dr", 7, "", dirty + read_only);
        expect_unchanged();
        expect("d", 0, reopen, dirty);
        expect_sound();
        EXPECT_EQ(look_at(path).content.at(319), 0xa3u);
    });
}

TEST_F(Check, OfUnusableHeaders) {
    image.header.type = 3;
    expect("F", 11, "", "Wrong type in image DIR/root.hds\n");
    image = SmallImage();
    image.header.cluster_sectors = 63;
    expect("F", 11, "", "Wrong cluster size 63 in image DIR/root.hds\n");
    for (const std::uint32_t start : {0u, 65u}) {
        image = SmallImage();
        image.header.data_start_sectors = start;
        expect("F", 11, "", "Wrong first block offset in image DIR/root.hds\n");
    }
    image = SmallImage();
    image.header.disk_sectors = 9000 * 64; // whose BAT needs two clusters
    image.header.entries = 9000;
    expect("F", 11, "", "Wrong first block offset in image DIR/root.hds\n");
    image = SmallImage();
    image.write(path);
    fs::resize_file(path, 63);
    CheckRun run = run_check(path, "F");
    EXPECT_EQ(std::tuple(run.result.exit_code, run.out, run.err), std::tuple(6, "Short read PVD header\n", ""));
    image.write(path);
    fs::resize_file(path, cluster_size - 1);
    run = run_check(path, "fr");
    EXPECT_EQ(std::tuple(run.result.exit_code, run.out, run.err),
              std::tuple(6, "Short read index table\n", ""));
}

TEST_F(Check, TheNumberOfEntriesIsSetRightWhenItsSlotsFit) {
    const auto line = [](const char* number, const char* sectors, const char* right) {
        return std::string("Wrong number of BAT entries ") + number + " in image DIR/root.hds, a disk of " +
               sectors + " sectors has " + right + "\n";
    };
    image.header.entries = 5;
    expect("f", 11, "", line("5", "20480", "320"));
    expect("", 11, "", line("5", "20480", "320"));
    expect("Fr", 11, "", line("5", "20480", "320"));
    expect_unchanged();
    expect("F", 0, reopen, line("5", "20480", "320"));
    EXPECT_EQ(look_at(path).entries, 320u);
    EXPECT_EQ(look_at(path).table, (std::map<std::uint64_t, std::uint32_t>(image.entries)));
    expect_sound();

    image.header.in_use = in_use_mark;
    expect("F", 37, reopen, line("5", "20480", "320") + dirty);
    expect_unchanged();

    // The slot 319 says that it is the size which is wrong.
    image = SmallImage();
    image.header.disk_sectors = 319 * 64;
    expect("F", 11, reopen + "Data cluster (319) beyond block device size... \nFATAL\n",
           line("320", "20416", "319") + not_repaired);
    expect_unchanged();

    image = SmallImage();
    image.header.disk_sectors = ~std::uint64_t{0};
    expect("F", 11, "", line("320", "18446744073709551615", "288230376151711744"));
}

TEST_F(Check, OfAnImageThatIsChangingItsVersion) {
    for (const std::uint32_t in_use : {0u, in_use_mark}) {
        image.header.flags = flag_converting;
        image.header.in_use = in_use;
        for (const char* letters : {"", "Fcd", "r"}) {
            expect(letters, 17, "",
                   "Image DIR/root.hds is in the changing version state\n"
                   "Mount the disk, or run any command that changes it: that finishes the change\n");
        }
        expect_unchanged();
    }
}

TEST_F(Check, OfAnUnknownInUseValue) {
    image.header.in_use = 0x12345678;
    const std::string unknown = "unknown in-use value 0x12345678 in image DIR/root.hds\n";
    expect("", 0, clean, unknown);
    expect("f", 37, reopen, unknown + dirty);
    expect_unchanged();
    expect("fd", 0, reopen, unknown + dirty);
    expect_sound();
}

TEST_F(Check, OfTheEmptyFlag) {
    image.header.flags = flag_empty;
    const std::string line = "CIF_Empty flag is incorrect\n";
    expect("f", 0, reopen, line);
    EXPECT_EQ(look_at(path).flags, 0u);
    expect("fr", 7, "", line + read_only);
    expect_unchanged();
    image.header.flags = 0x80; // what we do not know stays
    image.entries.clear();
    image.clusters = 1;
    expect("f", 0, reopen, line);
    EXPECT_EQ(look_at(path).flags, 0x81u);
}

TEST_F(Check, OfSlotsBehindTheDevice) {
    image.entries[320] = image.entry(5); // a sound slot has it, too
    image.entries[8127] = image.entry(77);
    const std::string first = "Data cluster (320) beyond block device size... \n";
    const std::string second = "Data cluster (8127) beyond block device size... \n";
    expect("fr", 11, first + "Skipped\n" + second + "Skipped\n", "");
    expect("", 0, clean, "");
    expect_unchanged();
    expect("fc", 0, reopen + first + "Fixed\n" + second + "Fixed\n", "");
    EXPECT_FALSE(look_at(path).table.contains(320));
    expect_sound();
    EXPECT_EQ(check("f").result.out_of_range, 2u);

    image.header.in_use = in_use_mark;
    expect("", 37, reopen + first + "Skipped\n" + second + "Skipped\n", dirty);
    expect_unchanged();
}

TEST_F(Check, OfEntriesThatNameNoCluster) {
    for_both_versions([&] {
        const auto sound = image.entries;
        image.entries[100] = image.entry(6); // the first one behind the end
        image.entries[101] = image.entry(5000);
        const std::string first = "Data cluster 6 beyond EOF, vsec=100... \n";
        const std::string second = "Data cluster 5000 beyond EOF, vsec=101... \n";
        expect("f", 11, reopen + first + "FATAL\n" + second + "FATAL\n", not_repaired);
        expect("Fr", 11, first + "FATAL\n" + second + "FATAL\n", not_repaired);
        expect_unchanged();
        expect("F", 0, reopen + first + "Fixed\n" + second + "Fixed\n", "");
        EXPECT_EQ(look_at(path).table, sound);
        expect_sound();
    });
    image = SmallImage();
    image.entries[100] = 0xffffffff;
    expect("F", 0, reopen + "Data cluster 4294967295 beyond EOF, vsec=100... \nFixed\n", "");
    image = SmallImage(Version::v1);
    image.entries[100] = 2 * 64 + 1;
    const std::string line = "L2 slot (100) corrupted... \n";
    expect("f", 11, reopen + line + "FATAL\n", not_repaired);
    expect_unchanged();
    expect("F", 0, reopen + line + "Fixed\n", "");
    expect_sound();
    EXPECT_EQ(check("F").result.misaligned, 1u);
}

TEST_F(Check, OfAFileThatIsCutOff) {
    image.write(path);
    fs::resize_file(path, 5 * cluster_size + 1000);
    const std::string line = "Data cluster 5 beyond EOF, vsec=8... \n";
    EXPECT_EQ(run_check(path, "f").result.exit_code, 11);
    const CheckRun run = run_check(path, "F");
    EXPECT_EQ(run.out, reopen + line + "Fixed\nTrimming tail\n");
    EXPECT_EQ(fs::file_size(path), 5 * cluster_size);
    expect_sound();
}

TEST_F(Check, OfEntriesInsideOfTheTables) {
    image.header.data_start_sectors = 2 * 64;
    image.entries[3] = image.entry(1);
    const std::string line = "Block 1 is used more than once, vsec=3... \n";
    expect("f", 11, reopen + line + "FATAL\n", not_repaired);
    expect("fcr", 11, line + "FATAL\n", not_repaired);
    expect_unchanged();
    expect("F", 0, reopen + line + "Fixed\n", "");
    EXPECT_FALSE(look_at(path).table.contains(3));
    expect_sound();
    EXPECT_EQ(check("f").result.in_tables, 1u);
}

TEST_F(Check, ClustersUsedTwiceAreGivenToEach) {
    for_both_versions([&] {
        image.entries[100] = image.entry(2);
        image.entries[200] = image.entry(2);
        image.entries[300] = image.entry(4);
        image.behind.assign(1000, std::byte{0x77}); // a tail does not matter
        const auto lines = [](const std::string& verdict) {
            std::string text;
            for (const char* line : {"2 is used more than once, vsec=100", "2 is used more than once, vsec=200",
                                     "4 is used more than once, vsec=300"}) {
                text += std::string("Block ") + line + "... \n" + verdict + "\n";
            }
            return text;
        };
        expect("fr", 0, "", "Want to trim tail\n");
        expect("fc", 11, reopen + lines("FATAL"), not_repaired);
        expect_unchanged();
        expect("F", 0, reopen + lines("Fixed"), "");

        const SeenImage seen = look_at(path);
        EXPECT_EQ(seen.bytes, 9 * cluster_size);
        for (const auto& [slot, value] : SmallImage(image.header.version).entries) {
            EXPECT_EQ(seen.table.at(slot), value);
        }
        EXPECT_EQ(seen.content.at(100), 0xa2u);
        EXPECT_EQ(seen.content.at(200), 0xa2u);
        EXPECT_EQ(seen.content.at(300), 0xa4u);
        expect_sound();
    });
}

TEST_F(Check, WithoutRoomForCopiesNothingIsChanged) {
    // Version 1 counts sectors in 32 bits: a file of nearly 2 TiB has no place left.
    image = SmallImage(Version::v1);
    const std::uint64_t last = UINT32_MAX / 64;
    image.entries[100] = image.entry(last);
    image.entries[101] = image.entry(last);
    image.write(path);
    fs::resize_file(path, (last + 1) * cluster_size);
    EXPECT_EQ(run_check(path, "F").result.exit_code, 11);
    fs::resize_file(path, 6 * cluster_size);
    expect_unchanged();
}

TEST_F(Check, HolesAreNamedAndTailsTrimmed) {
    image.entries.erase(319);
    expect("fc", 0, reopen + "Hole at block 3\n", "");
    expect("f", 0, reopen, "");
    expect("fcr", 0, "Hole at block 3\n", "");
    expect_unchanged();
    for (const std::size_t length : {std::size_t{5000}, std::size_t{cluster_size}}) {
        image.behind.assign(length, std::byte{0x5a});
        expect("f", 0, reopen + "Trimming tail\n", "");
        EXPECT_EQ(fs::file_size(path), 6 * cluster_size);
        expect("fr", 0, "", "Want to trim tail\n");
        expect_unchanged();
        image.header.in_use = in_use_mark;
        expect("", 37, reopen, "Want to trim tail\n" + dirty);
        expect_unchanged();
        expect("f", 37, reopen + "Trimming tail\n", dirty);
        expect("d", 0, reopen + "Trimming tail\n", dirty);
        EXPECT_EQ(fs::file_size(path), 6 * cluster_size);
        image.header.in_use = 0;
    }
}

TEST_F(Check, ManyHolesAreCounted) {
    image.entries[318] = 2'000'000; // far behind, in a file without blocks
    image.write(path);
    fs::resize_file(path, 2'000'001 * cluster_size);
    const CheckRun run = run_check(path, "fcr");
    EXPECT_EQ(run.result.holes, 1'999'994u);
    EXPECT_NE(run.out.find("\nHole at block 100005\nAnd 1899994 more holes\n"), std::string::npos);
}

class CheckExtension : public Check {
  protected:
    CheckExtension() {
        image.header.in_use = closed_mark_v21;
        image.header.extension_sector = 6 * 64;
        image.behind = make_extension(image.header, *parse_bitmap_id("33333333-3333-3333-3333-333333333333"));
    }
    const std::string dropping = "Dropping the format extension";
    const std::string invalid = "The format extension of image DIR/root.hds is not valid: ";

    void sign() {
        gcry_check_version(nullptr);
        gcry_md_hash_buffer(GCRY_MD_MD5, image.behind.data() + 8, image.behind.data() + 24, cluster_size - 24);
    }
    /// A part of a kind that nobody knows, behind the bitmap.
    void add_unknown_part(std::uint64_t flags) {
        const std::uint64_t magic = 0x1122334455667788;
        std::memcpy(image.behind.data() + 88, &magic, 8);
        std::memcpy(image.behind.data() + 96, &flags, 8);
        sign();
    }
    void expect_dropped() {
        const SeenImage seen = look_at(path);
        EXPECT_EQ(seen.extension_sector, 0u);
        EXPECT_EQ(seen.bytes, 6 * cluster_size);
        expect_sound();
    }
};

TEST_F(CheckExtension, AValidOneIsNoTail) {
    expect("Fc", 0, reopen, "");
    expect_unchanged();
    image.header.flags = flag_empty;
    expect("f", 0, reopen, "CIF_Empty flag is incorrect\n");
    EXPECT_EQ(look_at(path).in_use, closed_mark_v21);
    EXPECT_EQ(look_at(path).extension_sector, 6u * 64);
    expect_sound(closed_mark_v21);

    // In an image without data it is not data.
    image.entries.clear();
    image.clusters = 1;
    image.header.extension_sector = 64;
    expect("fc", 0, reopen, "");
    expect_unchanged();
    // What lies behind it is a tail.
    image.behind.resize(cluster_size + 10);
    expect("f", 0, reopen + "Trimming tail\n", "");
    EXPECT_EQ(fs::file_size(path), 2 * cluster_size);
}

TEST_F(CheckExtension, AnInvalidOneIsReportedAndDropped) {
    image.behind.back() = std::byte{1};
    const std::string line = invalid + "its MD5 is wrong at offset 196608 of DIR/root.hds\n";
    expect("", 0, clean, "");
    expect("fr", 7, "", line + "Want to trim tail\n" + read_only);
    expect_unchanged();
    expect("f", 0, reopen + "Trimming tail\n" + dropping + "\n", line);
    expect_dropped();
    image.behind.clear(); // the original's `check -f` leaves it so
    EXPECT_EQ(check("f").result.exit_code, 0);
    expect_dropped();
}

TEST_F(CheckExtension, DataOfTheDiskGoesFirst) {
    image.entries[100] = image.entry(6);
    const CheckRun run = check("fc");
    EXPECT_EQ(run.err, invalid + "its cluster 6 holds data of the disk\n");
    EXPECT_EQ(run.out, reopen + dropping + "\n");
    EXPECT_EQ(look_at(path).bytes, 7 * cluster_size);
    EXPECT_EQ(look_at(path).extension_sector, 0u);
    EXPECT_EQ(look_at(path).in_use, 0u);
}

TEST_F(CheckExtension, AWrongOneOfADirtyImageIsForgotten) {
    image.header.in_use = in_use_mark;
    expect("d", 0, reopen + "Trimming tail\n", dirty);
    expect_dropped();
}

TEST_F(CheckExtension, ItGoesWithTheClustersThatAreLost) {
    image.entries[100] = image.entry(5000);
    expect("F", 0,
           reopen + "Data cluster 5000 beyond EOF, vsec=100... \nFixed\nTrimming tail\n" + dropping +
               ", it does not know of the lost clusters\n",
           "");
    expect_dropped();
}

TEST_F(CheckExtension, ItStaysBesideCopies) {
    image.entries[100] = image.entry(2);
    const std::vector<std::byte> extension = image.behind;
    expect("F", 0, reopen + "Block 2 is used more than once, vsec=100... \nFixed\n", "");
    EXPECT_EQ(look_at(path).table.at(100), 7u);
    EXPECT_EQ(look_at(path).content.at(100), 0xa2u);
    const std::string after = read_file(path);
    EXPECT_EQ(std::memcmp(after.data() + 6 * cluster_size, extension.data(), cluster_size), 0);
    expect_sound(closed_mark_v21);
}

TEST_F(CheckExtension, UnknownPartsMayOwnTheTail) {
    add_unknown_part(2);
    image.behind.resize(2 * cluster_size + 7, std::byte{0x99});
    expect("f", 0, reopen, "");
    expect_unchanged();
    image.entries[100] = image.entry(2);
    EXPECT_EQ(check("F").result.exit_code, 0);
    EXPECT_EQ(look_at(path).table.at(100), 9u);
    EXPECT_EQ(static_cast<unsigned char>(read_file(path)[8 * cluster_size + 6]), 0x99u);
}

TEST_F(CheckExtension, APartThatForbidsChangesIsObeyed) {
    add_unknown_part(1);
    image.header.flags = flag_empty;
    EXPECT_EQ(check("f").result.exit_code, 7);
    expect_unchanged();
    image.entries[100] = image.entry(2);
    EXPECT_EQ(check("F").result.exit_code, 11);
    expect_unchanged();
}

class CheckSparse : public Check {
  protected:
    /// A hole in the middle of cluster 3. False: the host's file system has none.
    bool make_hole() {
        image.write(path);
        auto file = real_doors().files.open(path, {.write = true});
        file->punch_hole({3 * cluster_size + 4096, 8192});
        file->sync();
        return file->next_hole(0).has_value();
    }
};

TEST_F(CheckSparse, HolesOfTheHostAreFatalOrFilled) {
    if (!make_hole()) {
        GTEST_SKIP() << "the host's file system has no holes";
    }
    const std::string content = read_file(path);
    for (const char* letters : {"", "f", "fSr"}) {
        const CheckRun run = run_check(path, letters);
        EXPECT_EQ(run.result.exit_code, 11) << letters;
        EXPECT_EQ(run.err, "Error: ploop image 'DIR/root.hds' is sparse\n");
        EXPECT_TRUE(run.result.sparse);
        EXPECT_FALSE(run.result.changed);
    }
    const CheckRun run = run_check(path, "S");
    EXPECT_EQ(run.result.exit_code, 0);
    EXPECT_TRUE(run.result.changed);
    EXPECT_EQ(run.err, "Warning: ploop image 'DIR/root.hds' is sparse\n");
    EXPECT_EQ(run.out, clean + "Reallocating sparse blocks back\nFilling hole at start=102400 len=8192\n");
    EXPECT_EQ(run_check(path, "").result.exit_code, 0);
    EXPECT_TRUE(read_file(path) == content);
}

TEST_F(CheckSparse, WhatTheHostHasReservedIsNoHole) {
    image.write(path);
    fs::resize_file(path, cluster_size);
    auto file = real_doors().files.open(path, {.write = true});
    file->allocate({cluster_size, 5 * cluster_size}, false);
    file->sync();
    EXPECT_EQ(run_check(path, "f").result.exit_code, 0);
}

TEST_F(CheckSparse, OfRawImages) {
    disktool::test::write_file(path, std::string(3 * cluster_size, 'x'));
    EXPECT_EQ(run_check(path, "R").result.exit_code, 38);
    const CheckRun run = run_check(path, "RbF");
    EXPECT_EQ(run.result.exit_code, 0);
    EXPECT_EQ(run.out + run.err, "");
    fs::resize_file(path, 5 * cluster_size);
    if (real_doors().files.open(path, {})->next_hole(0)) {
        EXPECT_EQ(run_check(path, "Rb").result.exit_code, 11);
        EXPECT_EQ(run_check(path, "RbS").result.exit_code, 0);
        EXPECT_EQ(run_check(path, "Rb").result.exit_code, 0);
        EXPECT_EQ(read_file(path), std::string(3 * cluster_size, 'x') + std::string(2 * cluster_size, '\0'));
    }
}

class CheckStack : public Check {
  protected:
    const std::string base = folder / "base.hds";
    SmallImage lower;
    CheckRun run(std::uint32_t cluster_sectors = 64, bool raw = false) {
        lower.write(base);
        image.write(path);
        return run_check_stack({{base, raw}, {path}}, cluster_sectors);
    }
};

TEST_F(CheckStack, OnlyTheTopIsMended) {
    EXPECT_EQ(std::tuple(run().out, run().err, run().result.exit_code), std::tuple("", "", 0));
    image.header.in_use = in_use_mark;
    const CheckRun top = run();
    EXPECT_EQ(std::tuple(top.out, top.err, top.result.exit_code), std::tuple(reopen, dirty, 0));
    EXPECT_EQ(look_at(path).in_use, 0u);

    lower.header.in_use = in_use_mark;
    const CheckRun both = run();
    EXPECT_EQ(both.out, "");
    EXPECT_EQ(both.err, dirty + read_only + "DIR/base.hds : irrecoverable errors (ro)\n");
    EXPECT_EQ(both.result.exit_code, 7);
    expect_unchanged();
    EXPECT_EQ(look_at(base).in_use, in_use_mark);
}

TEST_F(CheckStack, ClustersOfAnotherSizeAreRefused) {
    const CheckRun refused = run(128);
    EXPECT_EQ(refused.result.exit_code, 11);
    EXPECT_EQ(refused.err, "Wrong cluster size 64 in image DIR/base.hds, the disk's descriptor says 128\n"
                           "DIR/base.hds : irrecoverable errors (ro)\n");
}

TEST_F(CheckStack, OverARawBase) {
    image.header.type = 9;
    const CheckRun refused = run(64, true);
    EXPECT_EQ(refused.result.exit_code, 11);
    EXPECT_EQ(refused.err, "Wrong type in image DIR/root.hds\nDIR/root.hds : irrecoverable errors (rw)\n");
}

TEST_F(CheckStack, HolesOfARawImageAreWhatACompactLeaves) {
    disktool::test::write_file(base, std::string(3 * cluster_size, 'x'));
    fs::resize_file(base, 5 * cluster_size);
    image.write(path);
    const auto file = real_doors().files.open(base, {});
    if (!file->next_hole(0)) {
        GTEST_SKIP() << "the host has no holes";
    }
    const CheckRun checked = run_check_stack({{base, true}, {path}}, 64);
    EXPECT_EQ(std::tuple(checked.out, checked.err, checked.result.exit_code), std::tuple("", "", 0));
    EXPECT_TRUE(file->next_hole(0));
}

TEST_F(Check, WhenTheHostIsFullTheImageIsAsGoodAsBefore) {
    image.entries[100] = image.entry(2);
    image.write(path);
    const std::string before = read_file(path);
    RecordingDoor door(folder.path());
    door.limit_space(cluster_size);
    try {
        run_check(path, "F", door);
        FAIL() << "must throw";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
    }
    EXPECT_TRUE(door.failed());
    const SeenImage seen = look_at(path);
    EXPECT_EQ(seen.table, image.entries);
    EXPECT_EQ(run_check(path, "F").result.exit_code == 0, seen.in_use == 0);
}

TEST_F(Check, OfALargeDiskTakesLittle) {
    // 1 TiB in clusters of 1 MiB; thin.
    image.header = new_header(TiB / sector_size, 2048, Version::v2);
    image.header.flags = 0;
    ASSERT_EQ(image.header.entries, 1u << 20);
    image.entries = {{0, 5}, {500'000, 6}, {(1u << 20) - 1, 7}};
    image.clusters = 8;
    image.write(path);
    const CheckRun run = run_check(path, "fc");
    EXPECT_EQ(std::tuple(run.out, run.err, run.result.exit_code), std::tuple(reopen, "", 0));
    image.entries[1u << 20] = 7;
    image.entries[700'000] = 5;
    image.write(path);
    EXPECT_EQ(run_check(path, "fc").result.duplicates, 1u);
    EXPECT_EQ(run_check(path, "fc").result.out_of_range, 1u);
    EXPECT_EQ(run_check(path, "F").result.exit_code, 0);
    const CheckRun again = run_check(path, "fcr");
    EXPECT_EQ(std::tuple(again.out, again.err, again.result.exit_code), std::tuple("", "", 0));
}

} // namespace

} // namespace disktool::ploop::test
