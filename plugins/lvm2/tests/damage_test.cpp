// SPDX-License-Identifier: LGPL-2.1-or-later
// Broken, foreign and hostile physical volumes: refused by a sentence, never by a crash.
#include "config_text.h"
#include "crafted_volume.h"
#include "lvm2_plugin.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <random>

namespace disktool::lvm2::test {

namespace {

std::string volume(const std::string& name, int first, int count, const std::string& place = "pv0") {
    return fmt::format("{} {{ status = [\"READ\", \"WRITE\", \"VISIBLE\"] segment_count = 1 segment1 {{ "
                       "start_extent = 0 extent_count = {} type = \"striped\" stripe_count = 1 "
                       "stripes = [\"{}\", {}] }} }}\n",
                       name, count, place, first);
}

const std::string plain = group_text(3, volume("a", 0, 5) + volume("b", 10, 5));

std::string without(std::string text, const std::string& part, const std::string& instead = "") {
    const std::size_t at = text.find(part);
    if (at == std::string::npos)
        throw std::runtime_error("no " + part);
    return text.replace(at, part.size(), instead);
}

void expect_error(BlockDevice& device, ErrorCode code, Reason reason, const std::string& words) {
    try {
        Plugin().open(device);
        ADD_FAILURE() << "no error; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(name(error.code()), name(code)) << error.what();
        EXPECT_EQ(name(error.reason()), name(reason)) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos)
            << error.what() << "\nshould say: " << words;
    }
}

void expect_damaged(CraftedVolume& made, const std::string& words) {
    expect_error(made.device, ErrorCode::damaged, Reason::filesystem_damaged, words);
}

void expect_damaged(const std::string& text, const std::string& words) {
    CraftedVolume made(text);
    expect_damaged(made, words);
}

void expect_unsupported(const std::string& text, Reason reason, const std::string& words) {
    CraftedVolume made(text);
    expect_error(made.device, ErrorCode::unsupported, reason, words);
}

} // namespace

TEST(Crafted, IsSoundAsItIs) {
    CraftedVolume made(plain);
    EXPECT_EQ(Plugin().probe(made.device), 100);
    const std::unique_ptr<Volumes> volumes = Plugin().open(made.device);
    EXPECT_EQ(volumes->free_extents().to_vector(),
              (std::vector<Range>{{6 * MiB, 5 * MiB}, {16 * MiB, 47 * MiB}}));
    EXPECT_EQ(volumes->minimum_size().bytes, 16 * MiB);
}

TEST(Crafted, TextAcrossTheEndOfTheBuffer) {
    for (std::uint64_t cut = 1; cut < plain.size(); cut += 37) {
        CraftedVolume made(plain, "", area_size - cut);
        EXPECT_EQ(Plugin().open(made.device)->volumes().size(), 2u) << cut;
    }
}

TEST(Damage, Label) {
    CraftedVolume made(plain);
    made.put(label_at + 40, "x");
    EXPECT_EQ(Plugin().probe(made.device), 60);
    expect_damaged(made, "label (at byte 512) has a bad checksum");
    made.seal_label();
    EXPECT_EQ(Plugin().probe(made.device), 100);
    expect_damaged(made, "does not name this physical volume");
    made.put(label_at, "labelone");
    EXPECT_EQ(Plugin().probe(made.device), 0);
    expect_error(made.device, ErrorCode::unsupported, Reason::filesystem_not_supported,
                 "no LVM2 physical volume");
}

TEST(Damage, FieldsOfTheLabel) {
    struct {
        std::uint64_t offset;
        std::string bytes;
        const char* words;
    } const cases[] = {
        {20, little_endian(500, 4), "header in its label (at byte 512) is said to be at 500"},
        {20, little_endian(8, 4), "said to be at 8"},
        {32, std::string(1, '\x1b'), "UUID in its label (at byte 512) is none"},
        {72, little_endian(1ull << 62, 8), "data area of 0 bytes at byte 4611686018427387904"},
        {104, little_endian(64 * MiB, 8), "metadata area of 61440 bytes at byte 67108864"},
        {112, little_endian(~0ull, 8), "metadata area of 18446744073709551615 bytes at byte 4096"},
        {112, little_endian(0, 8), "metadata area of 0 bytes"},
        {112, little_endian(512, 8), "metadata area at byte 4096 has only 512 bytes"},
        {112, little_endian(1024, 8), "is for 61440 bytes at byte 4096, the label says 1024 bytes"},
    };
    for (const auto& c : cases) {
        CraftedVolume made(plain);
        made.put(label_at + c.offset, c.bytes);
        made.seal_label();
        expect_damaged(made, c.words);
    }
    CraftedVolume endless(plain);
    for (std::uint64_t at = 72; at < 512; at += 16)
        endless.put(label_at + at, little_endian(1 * MiB, 8));
    endless.seal_label();
    expect_damaged(endless, "list of data areas in its label (at byte 512) does not end");
}

TEST(Damage, MetadataArea) {
    CraftedVolume text(plain);
    text.put(first_area + 600, "\x01");
    expect_damaged(text, "text at byte 512 of the metadata area at byte 4096 has a bad checksum");
    CraftedVolume header(plain);
    header.put(first_area + 100, "x");
    expect_damaged(header, "header of the metadata area at byte 4096 has a bad checksum");
    struct {
        std::uint64_t offset;
        std::string bytes;
        const char* words;
    } const cases[] = {
        {4, "x", "metadata area at byte 4096 has no header"},
        {20, little_endian(2, 4), "has version 2"},
        {24, little_endian(8192, 8), "is for 61440 bytes at byte 8192"},
        {40, little_endian(511, 8), "at 511 in it"},
        {40, little_endian(area_size, 8), "at 61440 in it"},
        {48, little_endian(area_size - 511, 8), "is said to hold 60929 bytes"},
        {48, little_endian(~0ull, 8), "is said to hold 18446744073709551615 bytes"},
    };
    for (const auto& c : cases) {
        CraftedVolume made(plain);
        made.put(first_area + c.offset, c.bytes);
        made.seal_area(first_area);
        expect_damaged(made, c.words);
    }
}

TEST(TwoCopies, TheNewestWholeOneCounts) {
    const std::string newer = group_text(4, volume("c", 0, 1));
    for (const bool newer_first : {false, true}) {
        CraftedVolume made(newer_first ? newer : plain, newer_first ? plain : newer);
        EXPECT_EQ(Plugin().open(made.device)->volumes().front().name, "vg/c");
        // The newer is broken: as for LVM, the other one counts, but nothing is made smaller on its word.
        made.put((newer_first ? first_area : second_area) + 600, "\x01");
        const std::unique_ptr<Volumes> volumes = Plugin().open(made.device);
        EXPECT_EQ(volumes->volumes().front().name, "vg/a");
        EXPECT_NE(volumes->state().sentence.find("damaged"), std::string::npos);
        EXPECT_EQ(volumes->minimum_size().reason, Reason::filesystem_cannot_shrink);
        EXPECT_EQ(volumes->minimum_size().bytes, 64 * MiB);
    }
}

TEST(Damage, Text) {
    const std::string a = volume("a", 0, 5);
    expect_damaged("vg {", "cannot be read: a section without its } (at byte 4 of it)");
    expect_damaged(std::string(100, '{'), "a name is missing");
    expect_damaged("vg { a = \"x }", "string without its closing quote");
    expect_damaged("vg { a = [1, 2 }", "list without its ]");
    expect_damaged("vg { a = 12x }", "neither a number nor a string");
    expect_damaged("vg { a = 1 a = 2 }", "two entries of one name");
    expect_damaged("vg { } wg { }", "describes two volume groups");
    expect_damaged("a = 1", "describes no volume group");
    expect_damaged("v/g { seqno = 1 }", "a name that LVM does not allow");
    expect_damaged("\x1b[2J { seqno = 1 }", "a name");
    expect_damaged(without(plain, "seqno = 3"), "no number \"seqno\" in \"vg\"");
    expect_damaged(without(plain, "seqno = 3", "seqno = -1"), "seqno = -1");
    expect_damaged(without(plain, "seqno = 3", "seqno = 99999999999999999999"), "no number \"seqno\"");
    expect_damaged(without(plain, "extent_size = 2048", "extent_size = 0"), "extents have no size");
    expect_damaged(without(plain, "extent_size = 2048", "extent_size = 4294967295"), "but the device has only");
    expect_damaged(without(plain, "pe_count = 62", "pe_count = 64"),
                   "64 extents of 1048576 bytes from byte 1048576");
    expect_damaged(without(plain, "pe_start = 2048", "pe_start = 16"),
                   "overlap its label or metadata at byte 8192");
    expect_damaged(without(plain, "pe_start = 2048", "pe_start = 9007199254740992"), "but the device has only");
    expect_damaged(without(plain, "physical_volumes", "x"), "no section \"physical_volumes\"");
    expect_damaged(without(plain, "segment_count = 1", "segment_count = 2"), "gives a 1 segments and says 2");
    expect_damaged(without(plain, "start_extent = 0", "start_extent = 1"),
                   "gap or an overlap in the segments of a");
    expect_damaged(without(plain, "stripe_count = 1", "stripe_count = 0"), "5 extents in 0 stripes");
    expect_damaged(without(plain, "stripe_count = 1", "stripe_count = 4294967295"), "in 4294967295 stripes");
    expect_damaged(without(plain, "[\"pv0\", 0]", "[\"pv1\", 0]"), "names an unknown volume");
    expect_damaged(without(plain, "[\"pv0\", 0]", "[0, \"pv0\"]"), "not one of places");
    expect_damaged(without(plain, "[\"pv0\", 0]", "[\"pv0\", -1]"), "segment of 5 extents from -1 on");
    expect_damaged(without(plain, "[\"pv0\", 0]", "[\"pv0\", 58]"), "but the physical volume has 62");
    expect_damaged(without(plain, "[\"pv0\", 0]", "[\"pv0\", 6]"), "gives extent 10 to two volumes");
    expect_damaged(without(plain, "id = \"0123", "id = \"123"), "no UUID in \"vg\"");
}

TEST(Damage, Stripes) {
    const auto striped = [](const std::string& size) {
        return group_text(1, "s { status = [\"VISIBLE\"] segment_count = 1 segment1 { start_extent = 0 "
                             "extent_count = 4 type = \"striped\" stripe_count = 2 " +
                                 size + " stripes = [\"pv0\", 0, \"pv0\", 10] } }");
    };
    CraftedVolume sound(striped("stripe_size = 128"));
    EXPECT_EQ(Plugin().open(sound.device)->volumes().front().problem, "");
    expect_damaged(striped(""), "no number \"stripe_size\"");
    expect_damaged(striped("stripe_size = 0"), "stripes of 0 bytes");
    expect_damaged(striped("stripe_size = 3000"), "stripes of 1536000 bytes in extents of 1048576");
}

TEST(Refused, ByName) {
    const std::string volumes = volume("a", 0, 5);
    expect_unsupported(group_text(1, volumes, "", R"("READ", "WRITE", "CLUSTERED")"),
                       Reason::feature_not_supported, "several hosts share");
    expect_unsupported(without(plain, "flags = []", "lock_type = \"sanlock\""), Reason::feature_not_supported,
                       "several hosts share");
    CraftedVolume not_shared(without(plain, "flags = []", "lock_type = \"none\""));
    EXPECT_EQ(Plugin().open(not_shared.device)->volumes().size(), 2u);
    expect_unsupported(group_text(1, volumes, "", R"("READ", "WRITE", "NEWER")"), Reason::feature_not_supported,
                       "the volume group vg has the status \"NEWER\"");
    expect_unsupported(group_text(1, without(volumes, "\"WRITE\"", "\"N\x1b\"")), Reason::feature_not_supported,
                       "the volume a has the status of another kind");
    expect_unsupported(without(plain, "\"ALLOCATABLE\"]", "\"ALLOCATABLE\"] flags = [\"MISSING\"]"),
                       Reason::several_devices, "takes this disk for missing");
    expect_unsupported(
        group_text(1,
                   "n { status = [\"VISIBLE\"] segment_count = 1 segment1 { start_extent = 0 extent_count = 4 "
                   "type = \"new\x1b+FLAG\" places = [\"pv0\", 7] } }"),
        Reason::volume_kind, "segment of the kind \"new?\" straight on the disk");
}

TEST(Limits, DepthAndItems) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i)
        deep += "a{";
    EXPECT_THROW(parse_config(deep), ConfigError);
    std::string many = "a = [";
    for (int i = 0; i < 1'100'000; ++i)
        many += "1,";
    EXPECT_THROW(parse_config(many + "]"), ConfigError);
    EXPECT_EQ(std::get<std::string>(parse_config(R"(a = "q\"u\\o" # } )").children.front().values.front()),
              "q\"u\\o");
    EXPECT_EQ(parse_config("a = [ ] b { } ").children.size(), 2u);
    EXPECT_EQ(std::get<double>(parse_config("a = 1.5").find("a")->values.front()), 1.5);
}

// Any byte of the text changed at random, with right checksums.
TEST(Hostile, TextsAreRefusedOrHarmless) {
    std::mt19937 random(1);
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
        std::string text = plain;
        for (auto n = 1 + random() % 3; n-- > 0;)
            text[random() % text.size()] = "0123456789{}[]=\"#, \n\\a\xff"[random() % 24];
        CraftedVolume made(text);
        try {
            const std::unique_ptr<Volumes> volumes = Plugin().open(made.device);
            EXPECT_LE(volumes->usage().size, made.device.size());
            EXPECT_LE(volumes->minimum_size().bytes, made.device.size());
            EXPECT_FALSE(volumes->free_extents().intersects({0, MiB}));
            volumes->details();
        } catch (const Error& error) {
            EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                << error.what();
            ++refused;
        }
    }
    EXPECT_GT(refused, 1000);
}

TEST(Hostile, ReadErrorsPassThrough) {
    for (const std::uint64_t place : {label_at, first_area, first_area + 600}) {
        CraftedVolume made(plain);
        made.device.fail_at(place);
        try {
            Plugin().open(made.device);
            ADD_FAILURE() << "opened in spite of an I/O error at " << place;
        } catch (const SystemError& error) {
            EXPECT_EQ(error.error_number(), EIO);
        }
    }
}

TEST(Probe, IsZeroForWhatIsNoPhysicalVolume) {
    disktool::test::MemoryDevice zeros(1 * MiB);
    EXPECT_EQ(Plugin().probe(zeros), 0);
    disktool::test::MemoryDevice tiny(700);
    EXPECT_EQ(Plugin().probe(tiny), 0);
    disktool::test::MemoryDevice nothing(0);
    EXPECT_EQ(Plugin().probe(nothing), 0);
}

} // namespace disktool::lvm2::test
