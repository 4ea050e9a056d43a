// SPDX-License-Identifier: LGPL-2.1-or-later
// Descriptors of the original, read and written again; what is let pass, and what a hostile hand has made.
#include "descriptor_samples.h"

#include <fmt/format.h>

#include <filesystem>

namespace disktool::ploop::descriptor_test {
namespace {

using disktool::test::read_file;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Reading and writing without a change.

TEST(DescriptorTest, WhatTheOriginalWroteIsWrittenAgainToTheByte) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(of_original)) {
        const std::string text = read_file(entry.path());
        EXPECT_EQ(parse(text).text(), text) << entry.path();
        ++count;
    }
    EXPECT_GE(count, 11u);
}

TEST(DescriptorTest, Values) {
    const Descriptor chain = original("chain3");
    EXPECT_EQ(chain.disk_sectors, 8192u);
    EXPECT_EQ(chain.cluster_sectors, 64u);
    EXPECT_EQ(chain.mode, DiskMode::expanded);
    EXPECT_EQ(chain.cylinders, 16u);
    EXPECT_EQ(chain.heads, 16u);
    EXPECT_EQ(chain.sectors, 32u);
    EXPECT_EQ(chain.largest_delta_sectors, 0u);
    EXPECT_EQ(chain.key_id, "");
    EXPECT_EQ(chain.top, Uuid::top());
    EXPECT_FALSE(chain.old_format);
    ASSERT_EQ(chain.images.size(), 3u);
    EXPECT_EQ(chain.images[0].file, "root.hds");
    EXPECT_EQ(chain.images[0].path, "/d/root.hds");
    EXPECT_FALSE(chain.images[0].raw);
    EXPECT_THAT(chain.chain(Uuid::top()), ElementsAre(u1, u2, Uuid::top()));
    EXPECT_THAT(chain.chain(u1), ElementsAre(u1));
    EXPECT_THROW(chain.chain(u3), Error);
    EXPECT_THROW(chain.chain(Uuid::none()), Error);
    EXPECT_THAT(original("tree").children(u1), ElementsAre(u2, Uuid::top()));
    EXPECT_EQ(original("preallocated").mode, DiskMode::preallocated);
}

TEST(DescriptorTest, OnlyTheBaseOfARawDiskIsRaw) {
    const Descriptor raw = original("raw-chain2");
    EXPECT_EQ(raw.mode, DiskMode::raw);
    EXPECT_TRUE(raw.images[0].raw);
    EXPECT_FALSE(raw.images[1].raw) << "a ploop1 file, though its Type is Plain";
    // One Plain is enough.
    const Descriptor mixed = parse(with(text_of_original("chain3"), "Compressed", "Plain"));
    EXPECT_EQ(mixed.mode, DiskMode::raw);
    EXPECT_TRUE(mixed.image(u1)->raw);
    EXPECT_FALSE(mixed.image(u2)->raw);
    EXPECT_THAT(mixed.text(), Not(HasSubstr("Compressed")));
}

TEST(DescriptorTest, NewOne) {
    EXPECT_EQ(Descriptor::make(20480, 64, DiskMode::expanded, "root.hds").text(),
              text_of_original("before-grow"));
    EXPECT_EQ(Descriptor::make(4096, 64, DiskMode::preallocated, "root.hds").text(),
              text_of_original("preallocated"));
    const Descriptor raw = Descriptor::make(8192, 64, DiskMode::raw, "root.hds");
    EXPECT_TRUE(raw.images.at(0).raw);
    EXPECT_THAT(raw.text(), HasSubstr("<Type>Plain</Type>"));
    EXPECT_THAT(raw.new_file_name(), testing::MatchesRegex("root.hds.\\{[0-9a-f-]{36}\\}"));
}

TEST(DescriptorTest, Grow) {
    Descriptor grown = original("before-grow");
    grown.set_size(1228800);
    EXPECT_EQ(grown.sectors, 1920u);
    EXPECT_EQ(grown.text(), text_of_original("grown"));
}

TEST(DescriptorTest, TheUnknownStaysWhereItIs) {
    const std::string text = R"(<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<Virtuozzo_disk_image xmlns:x="urn:x" Version="1.0">
  <Name>a disk</Name>
  <Disk_Parameters kind="odd">
    <Disk_size>8192</Disk_size>
    <Max_delta_size>4096</Max_delta_size>
    <Cylinders>16</Cylinders>
    <Heads>16</Heads>
    <LogicSectorSize>512</LogicSectorSize>
    <Sectors>32</Sectors>
    <Padding>7</Padding>
    <Encryption>
      <Engine>{aa}</Engine>
      <KeyId>key &amp; "lock"</KeyId>
    </Encryption>
  </Disk_Parameters>
  <StorageData>
    <Storage>
      <Start>0</Start>
      <End>8192</End>
      <Blocksize>64</Blocksize>
      <Image x:a="1">
        <GUID>{11111111-1111-1111-1111-111111111111}</GUID>
        <Type>Compressed</Type>
        <File>wurzel ä &amp; ö.hds</File>
        <Note/>
      </Image>
      <Between/>
      <Image>
        <GUID>{5FBAABE3-6958-40ff-92a7-860e329aab41}</GUID>
        <Type>Compressed</Type>
        <File>../elsewhere/top</File>
      </Image>
    </Storage>
  </StorageData>
  <Snapshots>
    <TopGUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</TopGUID>
    <Shot of="base">
      <GUID>{11111111-1111-1111-1111-111111111111}</GUID>
      <ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID>
      <TemporaryZero/>
    </Shot>
    <Shot of="top">
      <GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID>
      <ParentGUID>{11111111-1111-1111-1111-111111111111}</ParentGUID>
    </Shot>
  </Snapshots>
</Virtuozzo_disk_image>
)";
    Descriptor descriptor = parse(text);
    EXPECT_EQ(descriptor.text(), text);
    EXPECT_EQ(descriptor.largest_delta_sectors, 4096u);
    EXPECT_EQ(descriptor.key_id, "key & \"lock\"");
    EXPECT_EQ(descriptor.images[0].file, "wurzel ä & ö.hds");
    EXPECT_EQ(descriptor.images[1].path, "/d/../elsewhere/top");
    // A snapshot takes the old top's elements along, with what is in them.
    descriptor.add_snapshot(u2, "new");
    const std::string changed = descriptor.text();
    EXPECT_THAT(changed, HasSubstr("<Shot of=\"top\">\n      <GUID>{22222222-"));
    EXPECT_THAT(changed, HasSubstr("<Note/>"));
    EXPECT_THAT(changed,
                HasSubstr("<File>../elsewhere/top</File>\n      </Image>\n      <Image>\n        <GUID>{5fba"));
    // Without key and limit.
    descriptor.key_id.clear();
    descriptor.largest_delta_sectors = 0;
    EXPECT_THAT(descriptor.text(), Not(HasSubstr("KeyId")));
    EXPECT_THAT(descriptor.text(), HasSubstr("<Engine>"));
    EXPECT_THAT(descriptor.text(), Not(HasSubstr("Max_delta_size")));
}

TEST(DescriptorTest, OptionalElementsInTheOriginalsPlaces) {
    Descriptor descriptor = original("before-grow");
    descriptor.largest_delta_sectors = 100;
    descriptor.key_id = "k<1";
    descriptor.mode = DiskMode::preallocated;
    const std::string text = descriptor.text();
    EXPECT_THAT(text, HasSubstr("</Disk_size>\n    <Max_delta_size>100</Max_delta_size>\n    <Cylinders>"));
    EXPECT_THAT(
        text,
        HasSubstr("</Padding>\n    <Encryption>\n      <KeyId>k&lt;1</KeyId>\n    </Encryption>\n  </Di"));
    EXPECT_THAT(text, HasSubstr("</Blocksize>\n      <Preallocated>1</Preallocated>\n      <Image>"));
    Descriptor again = parse(text);
    EXPECT_EQ(again.text(), text);
    EXPECT_EQ(again.key_id, "k<1");
    again.largest_delta_sectors = 0;
    again.key_id.clear();
    again.mode = DiskMode::expanded;
    EXPECT_EQ(again.text(), text_of_original("before-grow"));
    again.mode = DiskMode::raw;
    EXPECT_EQ(again.text(), with(text_of_original("before-grow"), "Compressed", "Plain"));
}

// What the original lets pass.

TEST(DescriptorTest, MissingTopShotIsAdded) {
    const std::string whole = text_of_original("chain3");
    const std::size_t at =
        whole.find("    <Shot>", whole.find("22222222-2222-2222-2222-222222222222}</GUID>\n      <P"));
    const std::string without = whole.substr(0, at) + "  </Snapshots>\n</Parallels_disk_image>\n";
    const Descriptor descriptor = parse(without);
    EXPECT_THAT(descriptor.chain(Uuid::top()), ElementsAre(u1, u2, Uuid::top()));
    EXPECT_EQ(descriptor.text(), whole);
}

TEST(DescriptorTest, OldestFormWithoutShots) {
    const std::string whole = text_of_original("before-grow");
    const std::string without =
        whole.substr(0, whole.find("    <TopGUID>")) + "</Snapshots></Parallels_disk_image>";
    EXPECT_EQ(parse(without).text(), whole);
}

TEST(DescriptorTest, MissingTopGuid) {
    const std::string whole = text_of_original("chain3");
    const std::string without =
        with(whole, "    <TopGUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</TopGUID>\n", "");
    EXPECT_EQ(parse(without).top, Uuid::top());
    EXPECT_FALSE(parse(without).old_format);
    EXPECT_EQ(parse(without).text(), whole);
    const std::string none = with_all(without, "5fbaabe3", "6fbaabe3");
    expect_refused(none, "no TopGUID");
}

TEST(DescriptorTest, MissingNumbers) {
    std::string text = text_of_original("before-grow");
    for (const char* name : {"Disk_size", "Cylinders", "Heads", "Sectors", "Padding", "Start", "End", "Type"}) {
        text = without_line(text, name);
    }
    Descriptor descriptor = parse(text);
    EXPECT_EQ(descriptor.disk_sectors, 0u);
    descriptor.set_size(20480);
    descriptor.cylinders = 40;
    descriptor.heads = 16;
    EXPECT_EQ(descriptor.text(), text_of_original("before-grow"));
}

TEST(DescriptorTest, OldFormatIsKeptUntilItIsMadeModern) {
    const std::string modern = text_of_original("chain3");
    const std::string old = with_all(modern, "5fbaabe3", "6fbaabe3");
    Descriptor descriptor = parse(old);
    EXPECT_TRUE(descriptor.old_format);
    EXPECT_EQ(descriptor.text(), old);
    expect_invalid([&] { descriptor.add_snapshot(u3, "f"); }, "old format");
    expect_invalid([&] { descriptor.switch_to(u1, "f"); }, "old format");
    expect_invalid([&] { descriptor.remove_leaf(descriptor.top); }, "old format");
    EXPECT_EQ(descriptor.text(), old) << "what is refused changes nothing";
    descriptor.modernise();
    EXPECT_FALSE(descriptor.old_format);
    EXPECT_EQ(descriptor.text(), modern);
    descriptor.modernise();
    EXPECT_EQ(descriptor.text(), modern);
}

TEST(DescriptorTest, OldFormatWhereTheFixedUuidIsTaken) {
    Descriptor descriptor = original("chain3");
    const std::string text = with(descriptor.text(), "<TopGUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}",
                                  "<TopGUID>{22222222-2222-2222-2222-222222222222}");
    descriptor = parse(text);
    ASSERT_TRUE(descriptor.old_format);
    const std::string child = descriptor.images[2].file;
    descriptor.modernise();
    EXPECT_EQ(parse(descriptor.text()).image(Uuid::top())->file, descriptor.images[1].file);
    EXPECT_EQ(descriptor.images[2].file, child);
    EXPECT_EQ(descriptor.snapshots[2].parent, Uuid::top());
}

TEST(DescriptorTest, BlanksAndComments) {
    std::string text =
        with(text_of_original("before-grow"), "<Disk_size>20480<", "<Disk_size>\n 20480 <!-- x --> <");
    text = with(text, "<GUID>{5f", "<GUID> {5f");
    const Descriptor descriptor = parse(text);
    EXPECT_EQ(descriptor.disk_sectors, 20480u);
    EXPECT_EQ(descriptor.images[0].uuid, Uuid::top());
}

// What nobody may pass.

TEST(DescriptorTest, NotXml) {
    expect_refused("", "not well-formed XML");
    expect_refused("no", "line 1");
    expect_refused(text_of_original("chain3").substr(0, 700), "not well-formed XML");
    expect_refused(std::string("<a>\0</a>", 8), "not well-formed XML");
    expect_refused("<a>\xff\xfe</a>", "not well-formed XML");
    // Another encoding than UTF-8 is not even tried.
    expect_refused(std::string("\xff\xfe<\0a\0/\0>\0", 10), "not well-formed XML");
    expect_refused("<?xml version=\"1.0\" encoding=\"ISO-2022-JP\"?><a/>", "Disk_Parameters");
}

TEST(DescriptorTest, DtdAndEntities) {
    expect_refused("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>", "DTD");
    expect_refused("<!DOCTYPE a SYSTEM \"http://127.0.0.1:1/a.dtd\"><a/>", "DTD");
    expect_refused("<!DOCTYPE a><a/>", "DTD");
    expect_refused(with(text_of_original("before-grow"), "<Parallels",
                        "<!DOCTYPE Parallels_disk_image [<!ENTITY x "
                        "\"20480\">]>\n<Parallels"),
                   "DTD");
    expect_refused(with(text_of_original("before-grow"), "root.hds", "&x;"), "not well-formed XML");
    std::string laughs = "<!DOCTYPE a [<!ENTITY x0 \"ha\">";
    for (int i = 1; i < 40; ++i) {
        laughs += fmt::format("<!ENTITY x{} \"&x{};&x{};\">", i, i - 1, i - 1);
    }
    expect_refused(laughs + "]><a b=\"&x39;\">&x39;</a>", "DTD");
}

TEST(DescriptorTest, TooLargeOrTooDeep) {
    const std::string whole = text_of_original("before-grow");
    expect_refused(whole + std::string((1 << 20) - whole.size() + 1, ' '), "larger than 1048576 bytes");
    EXPECT_EQ(parse(whole + std::string((1 << 20) - whole.size(), ' ')).text(), whole);
    const auto nested = [&](int depth) {
        std::string begin;
        std::string end;
        for (int i = 0; i < depth; ++i) {
            begin += "<a>";
            end += "</a>";
        }
        return with(whole, "<Disk_Parameters>", begin + end + "<Disk_Parameters>");
    };
    EXPECT_NO_THROW(parse(nested(31)));
    expect_refused(nested(32), "deep");
    expect_refused(nested(255), "deep");
    expect_refused(nested(100000), "XML");
}

TEST(DescriptorTest, MissingAndDoubledElements) {
    const std::string whole = text_of_original("chain3");
    const auto renamed = [&](const std::string& name) {
        return with_all(with_all(whole, "<" + name + ">", "<Other>"), "</" + name + ">", "</Other>");
    };
    for (const char* name : {"Disk_Parameters", "StorageData", "Storage", "Blocksize", "File", "GUID",
                             "ParentGUID", "Snapshots"}) {
        expect_refused(renamed(name), fmt::format("{} is missing", name));
    }
    for (const char* line :
         {"<Disk_size>8192</Disk_size>", "<Blocksize>64</Blocksize>", "<File>root.hds</File>",
          "<GUID>{11111111-1111-1111-1111-111111111111}</GUID>", "<Cylinders>16</Cylinders>",
          "<TopGUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</TopGUID>"}) {
        expect_refused(with(whole, line, fmt::format("{}{}", line, line)), "2 times");
    }
    const std::size_t storage = whole.find("    <Storage>");
    const std::string one = whole.substr(storage, whole.find("  </StorageData>") - storage);
    expect_refused(with(whole, one, one + one), "Storage is there 2 times");
    // No image at all.
    expect_refused(with_all(whole, "Image>", "Other>"), "has no Image");
}

TEST(DescriptorTest, WrongValues) {
    const std::string whole = text_of_original("before-grow");
    const auto changed = [&](const std::string& name, const std::string& value) {
        return with_value(whole, name, value);
    };
    for (const char* size : {"", "x", "-1", "1x", "1 2", "0x10", "18446744073709551616", "36028797018963968"}) {
        expect_refused(changed("Disk_size", size), "Disk_size is");
    }
    EXPECT_NO_THROW(parse(changed("Disk_size", "36028797018963967")));
    for (const char* size : {"0", "32", "65", "262144", "4294967360"}) {
        expect_refused(changed("Blocksize", size), "Blocksize is");
    }
    EXPECT_EQ(parse(changed("Blocksize", "131072")).cluster_sectors, 131072u);
    expect_refused(changed("Heads", "4294967296"), "Heads is");
    expect_refused(changed("Type", "Encrypted"), "neither Compressed nor Plain");
    expect_refused(changed("File", ""), "0 bytes");
    expect_refused(changed("File", std::string(4097, 'a')), "4097 bytes");
    expect_refused(changed("File", "<b>x</b>"), "instead of a value");
    expect_refused(changed("TopGUID", "{5fbaabe3}"), "not a uuid");
    expect_refused(with(whole, "</Blocksize>", "</Blocksize><Preallocated>2</Preallocated>"),
                   "Preallocated is");
    EXPECT_EQ(parse(with(whole, "</Blocksize>", "</Blocksize><Preallocated>0</Preallocated>")).mode,
              DiskMode::expanded);
    expect_refused(
        with(with(whole, "</Blocksize>", "</Blocksize><Preallocated>1</Preallocated>"), "Compressed", "Plain"),
        "Preallocated is 1");
    // Zero heads must not divide, a product that does not fit neither.
    EXPECT_THAT(parse(changed("Heads", "0")).text(), HasSubstr("<Sectors>32<"));
    Descriptor huge = parse(changed("Cylinders", "18446744073709551615"));
    EXPECT_THAT(huge.text(), HasSubstr("<Sectors>0<"));
    huge.set_size(1);
    EXPECT_EQ(huge.sectors, 0u);
    // A message must not bring a terminal out of order.
    const PloopError error = refusal([&] { parse(changed("Type", "a&#13;&#10;b")); });
    EXPECT_THAT(error.what(), HasSubstr("a??b"));
}

TEST(DescriptorTest, WrongRelations) {
    const std::string whole = text_of_original("chain3");
    const std::string parent_of_u2 = "<ParentGUID>{11111111-1111-1111-1111-111111111111}</ParentGUID>";
    expect_refused(with(whole, parent_of_u2, "<ParentGUID>{33333333-3333-3333-3333-333333333333}</ParentGUID>"),
                   "has the parent {33333333-3333-3333-3333-333333333333}, which is not there");
    expect_refused(with(whole, "<ParentGUID>{00000000-0000-0000-0000-000000000000}",
                        "<ParentGUID>{22222222-2222-2222-2222-222222222222}"),
                   "cycle");
    expect_refused(with(whole, "<ParentGUID>{00000000-0000-0000-0000-000000000000}",
                        "<ParentGUID>{11111111-1111-1111-1111-111111111111}"),
                   "cycle");
    expect_refused(
        with_all(whole, "22222222-2222-2222-2222-222222222222", "11111111-1111-1111-1111-111111111111"),
        "two images have the name");
    expect_refused(with(whole, "<TopGUID>{5fb", "<TopGUID>{6fb"), "no such Shot");
    expect_refused(with(whole, "<GUID>{22222222-2222-2222-2222-222222222222}",
                        "<GUID>{33333333-3333-3333-3333-333333333333}"),
                   "no Shot of the same GUID");
    const std::size_t last = whole.rfind("    </Shot>");
    expect_refused(with(whole, whole.substr(last), "<Temporary/>" + whole.substr(last)), "Temporary");
    const std::size_t image = whole.find("      <Image>");
    const std::string first = whole.substr(image, whole.find("      <Image>", image + 1) - image);
    expect_refused(with(whole, first, ""), "has no Image of the same GUID");
    const std::size_t shot = whole.find("    <Shot>");
    const std::string first_shot = whole.substr(shot, whole.find("    <Shot>", shot + 1) - shot);
    expect_refused(with(whole, first_shot, ""), "no Shot of the same GUID");
    expect_refused(with(whole, first_shot, first_shot + first_shot), "two snapshots have the name");
    expect_refused(
        with_all(whole, "11111111-1111-1111-1111-111111111111", "00000000-0000-0000-0000-000000000000"),
        "means \"no snapshot\"");
}

/// A descriptor of so many images, each on the one before, or all on the first.
std::string many(std::size_t count, bool chain) {
    std::string images;
    std::string shots;
    const auto uuid = [&](std::size_t i) {
        return i + 1 == count ? Uuid::top().text() : fmt::format("{{00000000-0000-0000-0000-{:012}}}", i + 1);
    };
    for (std::size_t i = 0; i < count; ++i) {
        images += fmt::format("<Image><GUID>{}</GUID><File>f{}</File></Image>", uuid(i), i);
        shots += fmt::format("<Shot><GUID>{}</GUID><ParentGUID>{}</ParentGUID></Shot>", uuid(i),
                             i == 0 ? Uuid::none().text() : uuid(chain ? i - 1 : 0));
    }
    return fmt::format("<a><Disk_Parameters/><StorageData><Storage><Blocksize>64</Blocksize>{}</Storage></"
                       "StorageData><Snapshots>{}</Snapshots></a>",
                       images, shots);
}

TEST(DescriptorTest, TheLongestChain) {
    Descriptor longest = parse(many(127, true));
    EXPECT_EQ(longest.chain(Uuid::top()).size(), 127u);
    expect_refused(many(128, true), "longer than the 127 images");
    expect_invalid([&] { longest.add_snapshot(u1, "f"); }, "maximum number of snapshots (126)");
    EXPECT_EQ(longest.images.size(), 127u);
    Descriptor shorter = parse(many(126, true));
    EXPECT_NO_THROW(shorter.add_snapshot(u1, "f"));
    EXPECT_NO_THROW(parse(shorter.text()));
    EXPECT_EQ(shorter.chain(Uuid::top()).size(), 127u);
    // A side branch of 127 can be read, but not be built upon.
    Descriptor branch = parse(with(many(127, true), "<Shot>",
                                   "<TopGUID>{00000000-0000-0000-0000-000000000001}</TopGUID>"
                                   "<Shot>"));
    branch.old_format = false;
    expect_invalid([&] { branch.switch_to(Uuid::top(), "f"); }, "maximum number of snapshots (126)");
}

TEST(DescriptorTest, TheMostImages) {
    Descriptor most = parse(many(4096, false));
    EXPECT_EQ(most.children(most.images[0].uuid).size(), 4095u);
    const std::string half = parse(many(2048, false)).text();
    EXPECT_EQ(parse(half).text(), half);
    expect_invalid([&] { most.add_snapshot(u1, "f"); }, "4096 images");
    expect_refused(many(4097, false), "4097 elements Image");
}

} // namespace
} // namespace disktool::ploop::descriptor_test
