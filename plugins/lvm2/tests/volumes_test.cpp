// SPDX-License-Identifier: LGPL-2.1-or-later
// What is told of a volume group against lvm's own reports, and the content of its volumes.
#include "made_group.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace disktool::lvm2::test {

namespace dt = disktool::test;

namespace {

std::vector<std::byte> noise(std::size_t length, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(length);
    for (std::byte& byte : bytes)
        byte = static_cast<std::byte>(random());
    return bytes;
}

std::vector<std::byte> read(BlockDevice& device, std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> bytes(length);
    device.read(offset, bytes);
    return bytes;
}

/// Free extents as `pvs` lists its segments.
ExtentSet reported_free(MadeGroup& made, std::uint64_t start, std::uint64_t extent) {
    std::istringstream lines(made.lvm("pvs --segments --noheadings -o pvseg_start,pvseg_size,segtype"));
    std::vector<Range> ranges;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string kind;
        if (words >> first >> count >> kind && kind == "free")
            ranges.push_back({start + first * extent, count * extent});
    }
    return ExtentSet::from_unsorted(std::move(ranges));
}

/// Linear volumes with holes between them and one in several pieces.
void fragment(MadeGroup& made) {
    made.volume("a", 5);
    made.volume("b", 4);
    made.volume("c", 3);
    made.lvm("lvextend -l +2 vg/a");
    made.lvm("lvremove -y vg/b");
    made.volume("d", 6);
    made.lvm("lvextend -l +3 vg/c");
}

} // namespace

struct GroupCase {
    const char* name;
    std::uint64_t size;
    const char* physical;
    const char* group;
};

class Group : public testing::TestWithParam<GroupCase> {};

TEST_P(Group, IsToldAsLvmTellsIt) {
    MadeGroup made({GetParam().size});
    made.create(GetParam().physical, GetParam().group);
    fragment(made);

    Opened opened(made.path());
    EXPECT_EQ(Plugin().probe(opened.device), 100);
    EXPECT_TRUE(opened->state().clean());
    const std::uint64_t extent = std::stoull(made.field("vgs", "vg_extent_size"));
    const std::uint64_t start = std::stoull(made.field("pvs", "pe_start"));
    EXPECT_EQ(opened->extent_size(), extent);
    EXPECT_EQ(opened->first_extent(), start);
    EXPECT_EQ(opened->usage().uuid, made.field("pvs", "pv_uuid"));
    EXPECT_EQ(opened->usage().label, "vg");
    EXPECT_EQ(opened->usage().free, std::stoull(made.field("vgs", "vg_free")));
    EXPECT_EQ(opened->free_extents(), reported_free(made, start, extent));
    EXPECT_EQ(opened->volumes().size(), 3u);
    for (const char* name : {"a", "c", "d"}) {
        const Volume& volume = opened[fmt::format("vg/{}", name)];
        EXPECT_EQ(volume.problem, "");
        EXPECT_TRUE(volume.resizable);
        EXPECT_EQ(volume.appliance_device, fmt::format("/dev/vg/{}", name));
        EXPECT_EQ(volume.size(), std::stoull(made.field(fmt::format("lvs vg/{}", name), "lv_size")));
        ASSERT_NE(volume.device, nullptr);
        EXPECT_EQ(volume.device->size(), volume.size());
        EXPECT_FALSE(volume.device->writable());
    }
    EXPECT_EQ(opened["vg/a"].segments.size(), 2u);
    EXPECT_EQ(opened->volumes()[static_cast<std::size_t>(opened->last_volume())].name, "vg/c");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Group,
    testing::Values(GroupCase{"plain", 64 * MiB, "", "-s 1M"}, GroupCase{"default_extents", 256 * MiB, "", ""},
                    GroupCase{"small_extents", 64 * MiB, "", "-s 64K"},
                    GroupCase{"odd_extents", 64 * MiB, "", "-s 384K"},
                    GroupCase{"big_extents", 64 * GiB, "", "-s 1G"},
                    GroupCase{"two_copies", 64 * MiB, "--pvmetadatacopies 2", "-s 1M"},
                    GroupCase{"bootloader", 64 * MiB, "--bootloaderareasize 2M", "-s 1M"},
                    GroupCase{"large_metadata", 64 * MiB, "--metadatasize 8M", "-s 1M"},
                    GroupCase{"small_metadata", 64 * MiB, "--metadatasize 64K --dataalignment 128K", "-s 1M"},
                    GroupCase{"label_in_sector_0", 64 * MiB, "--labelsector 0", "-s 1M"},
                    GroupCase{"label_in_sector_3", 64 * MiB, "--labelsector 3", "-s 1M"},
                    GroupCase{"size_no_multiple", 64 * MiB + 12345 * 512, "", "-s 1M"},
                    GroupCase{"one_tebibyte", TiB, "", ""}),
    [](const auto& test) { return test.param.name; });

TEST(Content, GoesThroughTheSegments) {
    MadeGroup made({64 * MiB});
    made.create();
    fragment(made);
    Opened opened(made.path(), Access::write);
    const Volume& volume = opened["vg/a"]; // extents 0-4 and 12-13
    ASSERT_TRUE(volume.device->writable());

    // A file system made beside it, put in through the mapping.
    const std::string file = made.beside("ext4.img");
    dt::run_tool({"truncate", "-s", std::to_string(volume.size()), file});
    dt::run_tool({"mke2fs", "-q", "-F", "-t", "ext4", "-d", DISKTOOL_SOURCE_DIR "/plugins/lvm2", file});
    dt::FileDevice made_file(file);
    volume.device->write(0, read(made_file, 0, volume.size()));
    volume.device->flush();
    EXPECT_EQ(read(*volume.device, 0, volume.size()), read(made_file, 0, volume.size()));
    const std::uint64_t start = opened->first_extent();
    EXPECT_EQ(read(opened.device, start, 5 * MiB), read(made_file, 0, 5 * MiB));
    EXPECT_EQ(read(opened.device, start + 12 * MiB, 2 * MiB), read(made_file, 5 * MiB, 2 * MiB));

    // The other way: the places of the device, joined by another program, are the file system.
    const std::string joined = made.beside("joined.img");
    dt::run_tool({"dd", "if=" + made.path(), "of=" + joined, "bs=1M", "skip=1", "count=5", "status=none"});
    dt::run_tool(
        {"dd", "if=" + made.path(), "of=" + joined, "bs=1M", "skip=13", "seek=5", "count=2", "status=none"});
    dt::run_tool({"cmp", file, joined});
    dt::run_tool({"e2fsck", "-fn", joined});

    // Across the seam, in odd pieces.
    const std::vector<std::byte> bytes = noise(100'001, 1);
    volume.device->write(5 * MiB - 50'000, bytes);
    EXPECT_EQ(read(*volume.device, 5 * MiB - 50'000, bytes.size()), bytes);
    volume.device->zero({5 * MiB - 3, 7});
    EXPECT_EQ(read(*volume.device, 5 * MiB - 3, 7), std::vector<std::byte>(7));
    EXPECT_EQ(read(*volume.device, 5 * MiB - 4, 1).front(), bytes[49'996]);
    EXPECT_EQ(read(*volume.device, 5 * MiB + 4, 1).front(), bytes[50'004]);
    EXPECT_THROW(read(*volume.device, volume.size() - 1, 2), Error);

    EXPECT_EQ(opened->to_device(volume, ExtentSet(Range{5 * MiB - 10, 30})).to_vector(),
              (std::vector<Range>{{start + 5 * MiB - 10, 10}, {start + 12 * MiB, 20}}));
    volume.device->discard({4 * MiB, 2 * MiB});
    const std::vector<Extent> extents = volume.device->extents({4 * MiB, 2 * MiB});
    ASSERT_EQ(extents.size(), 1u);
    EXPECT_EQ(extents.front(), (Extent{{4 * MiB, 2 * MiB}, ExtentKind::unallocated}));
    EXPECT_TRUE(made.lvm_takes("vgck vg"));
}

// All that is called free is destroyed; neither LVM nor any volume misses it.
TEST(FreeExtents, AreNeededByNobody) {
    MadeGroup made({64 * MiB});
    made.create("--pvmetadatacopies 2");
    fragment(made);
    const std::string report = made.lvm("pvs --segments -o pv_all,lv_name,pvseg_start,pvseg_size");
    std::vector<std::vector<std::byte>> contents;
    ExtentSet free;
    {
        Opened opened(made.path(), Access::write);
        for (const Volume& volume : opened->volumes()) {
            contents.push_back(noise(volume.size(), static_cast<unsigned>(contents.size())));
            volume.device->write(0, contents.back());
        }
        free = opened->free_extents();
        const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
        for (const Range& range : free)
            for (std::uint64_t at = range.offset; at < range.end(); at += MiB)
                opened.device.write(at,
                                    std::span(pattern).first(std::min<std::uint64_t>(MiB, range.end() - at)));
    }
    EXPECT_GT(free.total(), 30 * MiB);
    dt::run_tool({"blockdev", "--flushbufs", made.loop()});
    EXPECT_EQ(made.lvm("pvs --segments -o pv_all,lv_name,pvseg_start,pvseg_size"), report);
    EXPECT_TRUE(made.lvm_takes("vgck vg"));
    Opened opened(made.path());
    EXPECT_EQ(opened->free_extents(), free);
    for (std::size_t i = 0; i < contents.size(); ++i)
        EXPECT_EQ(read(*opened->volumes()[i].device, 0, contents[i].size()), contents[i]);
}

TEST(Partition, IsAWindowLikeAnyDevice) {
    MadeGroup made({32 * MiB}, 3 * MiB);
    made.create();
    made.volume("a", 3);
    dt::FileDevice disk(made.path());
    Window window(disk, {3 * MiB, 32 * MiB}, "partition 1");
    const std::unique_ptr<Volumes> volumes = Plugin().open(window);
    EXPECT_EQ(volumes->free_extents().to_vector(), (std::vector<Range>{{4 * MiB, 28 * MiB}}));
}

TEST(Stripes, LieChunkByChunk) {
    MadeGroup made({64 * MiB});
    made.create();
    made.replace_volumes(
        volume_text("s", {segment_text(1, 0, 4, striped_text(R"("pv0", 3, "pv0", 10)", 2, 128)),
                          segment_text(2, 4, 1, striped_text(R"("pv0", 20)"))}) +
        volume_text("l", {segment_text(1, 0, 2, striped_text(R"("pv0", 0)"))}));
    EXPECT_EQ(made.field("lvs vg/s", "lv_size"), std::to_string(5 * MiB));
    Opened opened(made.path(), Access::write);
    const Volume& volume = opened["vg/s"];
    ASSERT_EQ(volume.problem, "");
    EXPECT_FALSE(volume.resizable);
    EXPECT_EQ(volume.size(), 5 * MiB);
    const std::vector<std::byte> bytes = noise(volume.size(), 7);
    volume.device->write(0, bytes);
    EXPECT_EQ(read(*volume.device, 0, bytes.size()), bytes);
    const std::uint64_t start = opened->first_extent();
    for (std::uint64_t chunk = 0; chunk < 64; ++chunk) {
        const std::uint64_t place = start + (chunk % 2 == 0 ? 3 : 10) * MiB + chunk / 2 * 64 * KiB;
        const auto expected = std::span(bytes).subspan(chunk * 64 * KiB, 64 * KiB);
        EXPECT_TRUE(std::ranges::equal(read(opened.device, place, 64 * KiB), expected)) << chunk;
    }
    EXPECT_TRUE(
        std::ranges::equal(read(opened.device, start + 20 * MiB, MiB), std::span(bytes).subspan(4 * MiB)));
    EXPECT_EQ(opened->free_extents(), reported_free(made, start, MiB));
    EXPECT_EQ(opened->to_device(volume, ExtentSet(Range{0, 128 * KiB})).to_vector(),
              (std::vector<Range>{{start + 3 * MiB, 64 * KiB}, {start + 10 * MiB, 64 * KiB}}));
    EXPECT_EQ(opened->to_device(volume, ExtentSet(Range{0, volume.size()})).total(), volume.size());
}

// The texts go round and round the circular buffer; at some of the steps the present one lies across its end.
TEST(CircularBuffer, IsReadWhereverTheTextLies) {
    MadeGroup made({64 * MiB});
    made.create("--metadatasize 60K --dataalignment 64K");
    for (int i = 0; i < 6; ++i)
        made.volume(fmt::format("volume{}", i), 1);
    int wrapped = 0;
    std::uint64_t sequence = 0;
    for (int i = 0; i < 40; ++i) {
        made.lvm(fmt::format("vgchange -l {} vg", 100 + i));
        dt::run_tool({"blockdev", "--flushbufs", made.loop()});
        Opened opened(made.path());
        EXPECT_EQ(opened->volumes().size(), 6u);
        for (const auto& [key, value] : opened->details())
            if (key == "sequence") {
                EXPECT_GT(std::get<std::uint64_t>(value), sequence);
                sequence = std::get<std::uint64_t>(value);
            }
        std::vector<std::byte> header = read(opened.device, 4096, 512);
        const auto number = [&](std::size_t at) {
            std::uint64_t value = 0;
            for (std::size_t k = 8; k-- > 0;)
                value = value << 8 | std::to_integer<std::uint64_t>(header[at + k]);
            return value;
        };
        wrapped += number(40) + number(48) > number(32) ? 1 : 0;
    }
    EXPECT_EQ(std::to_string(sequence), made.field("vgs", "vg_seqno"));
    EXPECT_GT(wrapped, 0);
}

TEST(NoGroup, NothingIsFreeAndNothingShrinks) {
    MadeGroup made({32 * MiB});
    made.lvm("pvcreate -y @");
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean());
    EXPECT_TRUE(opened->free_extents().empty());
    EXPECT_TRUE(opened->volumes().empty());
    EXPECT_EQ(opened->last_volume(), -1);
    EXPECT_EQ(opened->minimum_size().bytes, 32 * MiB);
    EXPECT_EQ(opened->minimum_size().reason, Reason::filesystem_cannot_shrink);
    EXPECT_EQ(opened->usage().uuid, made.field("pvs", "pv_uuid"));
}

} // namespace disktool::lvm2::test
