// SPDX-License-Identifier: LGPL-2.1-or-later
// What `check` makes of the format extension behind the data.
#include "check_fixture.h"
#include "extension.h"

#include <gcrypt.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

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

} // namespace

} // namespace disktool::ploop::test
