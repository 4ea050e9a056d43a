// SPDX-License-Identifier: LGPL-2.1-or-later
// What each byte of a disk counts as, and how a line of cells shows it.
#include "support/memory_device.h"
#include "verb/disk_map.h"

#include <disktool/size.h>

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace disktool {
namespace {

using test::MemoryDevice;

/// An image over a disk in memory, of which it calls some bytes its own.
class MemoryImage : public Image {
  public:
    explicit MemoryImage(std::uint64_t size) : device_(size) {
        info_.virtual_size = size;
        info_.cluster_size = 64 << 10;
        own_ = ExtentSet({0, size});
    }
    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return device_; }
    std::optional<Refusal> refusal(Capability) const override { return Refusal{}; }
    ExtentSet own_extents(Range range) override { return own_.clip(range); }

    void store(Range range) { device_.write(range.offset, std::vector<std::byte>(range.length, std::byte{1})); }
    void set_own(ExtentSet own) { own_ = std::move(own); }

  private:
    ImageInfo info_;
    MemoryDevice device_;
    ExtentSet own_;
};

/// Of which a fixed set of bytes is free, or the map of which is damaged.
class FixedFilesystem : public Filesystem {
  public:
    explicit FixedFilesystem(std::optional<ExtentSet> free) : free_(std::move(free)) {}
    std::string type() const override { return "fixed"; }
    FilesystemState state() override { return {}; }
    FilesystemUsage usage() override { return {}; }
    ExtentSet free_extents() override {
        if (!free_) {
            throw Error(ErrorCode::damaged, "the bitmap at offset 4096 is damaged", Reason::filesystem_damaged);
        }
        return *free_;
    }
    MinimumSize minimum_size() override { return {}; }

  private:
    std::optional<ExtentSet> free_;
};

void add_partition(DiskSurvey& survey, int number, Range range, std::optional<ExtentSet> free) {
    Partition partition;
    partition.number = number;
    partition.range = range;
    survey.table.type = TableType::gpt;
    survey.table.partitions.push_back(partition);
    Content content;
    content.partition = number;
    content.range = range;
    content.type = "fixed";
    content.filesystem = std::make_unique<FixedFilesystem>(std::move(free));
    survey.contents.push_back(std::move(content));
}

/// 100 MiB: table, partition 2 (40-60 MiB), partition 1 (70-90 MiB).
DiskSurvey two_partitions(std::optional<ExtentSet> free) {
    DiskSurvey survey;
    survey.table.areas = ExtentSet::from_unsorted({{0, 34 * 512}, {100 * MiB - 33 * 512, 33 * 512}});
    add_partition(survey, 1, {70 * MiB, 20 * MiB}, free);
    add_partition(survey, 2, {40 * MiB, 20 * MiB}, free);
    return survey;
}

void expect_whole(const DiskMap& map) {
    EXPECT_EQ(map.bytes.total(), map.size);
    ExtentSet all;
    for (const ExtentSet& set : map.extents) {
        EXPECT_FALSE(set.intersects({map.size, 1}));
        all = all.unite(set);
    }
    EXPECT_EQ(all, ExtentSet({0, map.size}));
}

TEST(DiskMap, TellsDataFromFreeFromUnallocated) {
    MemoryImage image(100 * MiB);
    image.store({0, MiB});
    image.store({40 * MiB, 8 * MiB});
    DiskSurvey survey = two_partitions(ExtentSet({4 * MiB, 16 * MiB}));
    const DiskMap map = map_disk(image, survey);
    expect_whole(map);
    EXPECT_EQ(map.of(DiskUse::data).to_vector(), (std::vector<Range>{{40 * MiB, 4 * MiB}}));
    EXPECT_EQ(map.of(DiskUse::free).to_vector(), (std::vector<Range>{{44 * MiB, 4 * MiB}}));
    EXPECT_EQ(map.bytes[DiskUse::table], 67 * 512u);
    EXPECT_EQ(map.bytes[DiskUse::outside], 60 * MiB - 67 * 512);
    EXPECT_EQ(map.bytes[DiskUse::unallocated], 32 * MiB);
    ASSERT_EQ(map.parts.size(), 2u);
    EXPECT_EQ(map.parts[0].partition, 2) << "by place, not by number";
    EXPECT_EQ(map.parts[0].bytes[DiskUse::free], 4 * MiB);
    EXPECT_EQ(map.parts[1].bytes[DiskUse::unallocated], 20 * MiB);
    EXPECT_EQ(map.parts[1].bytes.total(), 20 * MiB);
}

TEST(DiskMap, CountsAsFreeOnlyWholeClusters) {
    MemoryImage image(100 * MiB);
    image.store({40 * MiB, MiB});
    DiskSurvey survey = two_partitions(ExtentSet({4096, 128 << 10}));
    const DiskMap map = map_disk(image, survey);
    EXPECT_EQ(map.of(DiskUse::free).to_vector(), (std::vector<Range>{{40 * MiB + (64 << 10), 64 << 10}}));
    EXPECT_EQ(map.bytes[DiskUse::data], MiB - (64 << 10));
}

TEST(DiskMap, CountsWhatAGapHoldsAsFreeWhereCompactGivesItBack) {
    MemoryImage image(100 * MiB);
    image.store({62 * MiB, MiB});
    DiskSurvey survey = two_partitions(ExtentSet());
    const DiskMap map = map_disk(image, survey);
    EXPECT_EQ(map.of(DiskUse::free).to_vector(), (std::vector<Range>{{62 * MiB, MiB}}));
    expect_whole(map);
}

TEST(DiskMap, KnowsWhatShowsThroughFromABackingImage) {
    MemoryImage image(100 * MiB);
    image.store({40 * MiB, 4 * MiB});
    image.set_own(ExtentSet({40 * MiB, MiB}));
    DiskSurvey survey = two_partitions(ExtentSet({0, 20 * MiB}));
    const DiskMap map = map_disk(image, survey);
    EXPECT_EQ(map.bytes[DiskUse::free], MiB) << "compact cannot give back what lies in the backing image";
    EXPECT_EQ(map.bytes[DiskUse::backing], 3 * MiB);
    expect_whole(map);
}

TEST(DiskMap, CallsNothingFreeByADamagedMap) {
    MemoryImage image(100 * MiB);
    image.store({40 * MiB, 4 * MiB});
    DiskSurvey survey = two_partitions(std::nullopt);
    const DiskMap map = map_disk(image, survey);
    EXPECT_EQ(map.bytes[DiskUse::free], 0u);
    EXPECT_EQ(map.bytes[DiskUse::data], 4 * MiB);
    ASSERT_TRUE(survey.contents[0].problem);
    EXPECT_EQ(survey.contents[0].problem->code, ErrorCode::damaged);
    EXPECT_EQ(map.notes.size(), 2u);
}

TEST(DiskMap, OfADiskOfWhichNothingIsKnownIsAllInUse) {
    MemoryImage image(MiB);
    image.store({0, 128 << 10});
    DiskSurvey survey;
    const DiskMap map = map_disk(image, survey);
    EXPECT_EQ(map.bytes[DiskUse::data], 128u << 10);
    EXPECT_EQ(map.bytes[DiskUse::unallocated], MiB - (128 << 10));
}

TEST(DiskMap, CellsCoverARangeThatTheyDoNotDivide) {
    MemoryImage image(100 * MiB);
    image.store({40 * MiB, 8 * MiB});
    DiskSurvey survey = two_partitions(ExtentSet({4 * MiB, 16 * MiB}));
    const DiskMap map = map_disk(image, survey);
    for (std::size_t count : {1u, 7u, 80u, 997u}) {
        const std::vector<UseBytes> cells = map.cells({3, 100 * MiB - 10}, count);
        ASSERT_EQ(cells.size(), count);
        std::uint64_t total = 0;
        std::uint64_t free = 0;
        for (const UseBytes& cell : cells) {
            total += cell.total();
            free += cell[DiskUse::free];
            EXPECT_LE(cell.total(), divide_up(100 * MiB, count));
        }
        EXPECT_EQ(total, 100 * MiB - 10);
        EXPECT_EQ(free, 4 * MiB);
    }
}

TEST(DiskMap, SegmentsAreExactUntilThereAreTooMany) {
    MemoryImage image(100 * MiB);
    for (std::uint64_t i = 0; i < 100; ++i) {
        image.store({40 * MiB + i * (128 << 10), 64 << 10});
    }
    DiskSurvey survey = two_partitions(ExtentSet());
    const DiskMap map = map_disk(image, survey);
    for (std::size_t most : {1000u, 50u}) {
        const MapSegments segments = map.segments(most);
        EXPECT_EQ(segments.resolution, most == 1000 ? 1 : 2 * MiB);
        EXPECT_LE(segments.list.size(), most);
        std::uint64_t end = 0;
        for (const MapSegment& segment : segments.list) {
            EXPECT_EQ(segment.range.offset, end);
            end = segment.range.end();
        }
        EXPECT_EQ(end, 100 * MiB);
    }
    EXPECT_EQ(map.segments(1000).list.size(), 2u + 3 + 100 + 100 + 1)
        << "table, outside, data, unallocated between and in the other partition";
}

UseBytes cell(std::uint64_t data, std::uint64_t unallocated, std::uint64_t table = 0) {
    UseBytes bytes;
    bytes[DiskUse::data] = data;
    bytes[DiskUse::unallocated] = unallocated;
    bytes[DiskUse::table] = table;
    return bytes;
}

TEST(ShownUses, AreTheMostFrequentOnes) {
    EXPECT_EQ(shown_uses({cell(6, 4), cell(1, 9), cell(5, 5)}),
              (std::vector{DiskUse::data, DiskUse::unallocated, DiskUse::data}));
}

TEST(ShownUses, HideNoUse) {
    EXPECT_EQ(shown_uses({cell(0, 9, 1), cell(1, 9), cell(2, 8), cell(0, 10)}),
              (std::vector{DiskUse::table, DiskUse::unallocated, DiskUse::data, DiskUse::unallocated}));
    EXPECT_EQ(shown_uses({cell(1, 9, 2), cell(0, 9)}), (std::vector{DiskUse::table, DiskUse::unallocated}))
        << "one that is shown once is not hidden for another";
    // The table also lies in the last cell, so that it leaves the first one to the data, which lies only there.
    EXPECT_EQ(shown_uses({cell(1, 9, 3), cell(0, 9), cell(0, 9, 2)}),
              (std::vector{DiskUse::data, DiskUse::unallocated, DiskUse::table}));
}

TEST(ShownUses, OfACellWithoutBytesIsThatOfItsNeighbour) {
    EXPECT_EQ(shown_uses({cell(5, 0), cell(0, 0), cell(0, 5)}),
              (std::vector{DiskUse::data, DiskUse::data, DiskUse::unallocated}));
}

} // namespace
} // namespace disktool
