// SPDX-License-Identifier: LGPL-2.1-or-later
// What `check` says of header and BAT, and how it mends them.
#include "check_fixture.h"

#include <filesystem>
#include <map>
#include <string>
#include <tuple>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

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

} // namespace

} // namespace disktool::ploop::test
