// SPDX-License-Identifier: LGPL-2.1-or-later
// Which bytes compact may give away: the gaps of a table, and what is kept though it lies in none.
#include "verb/discardable.h"

#include <disktool/size.h>

#include <gtest/gtest.h>

namespace disktool {
namespace {

Partition partition(int number, std::uint64_t offset, std::uint64_t length, std::string type = "83") {
    Partition result;
    result.number = number;
    result.range = {offset, length};
    result.type = std::move(type);
    return result;
}

PartitionTable gpt(std::uint64_t disk_size, std::vector<Partition> partitions) {
    PartitionTable table;
    table.type = TableType::gpt;
    table.partitions = std::move(partitions);
    table.areas = ExtentSet::from_unsorted({{0, 34 * 512}, {disk_size - 33 * 512, 33 * 512}});
    return table;
}

/// A file system of which a fixed set of bytes is free.
class FixedFilesystem : public Filesystem {
  public:
    explicit FixedFilesystem(ExtentSet free) : free_(std::move(free)) {}
    std::string type() const override { return "fixed"; }
    FilesystemState state() override { return {}; }
    FilesystemUsage usage() override { return {}; }
    ExtentSet free_extents() override { return free_; }
    MinimumSize minimum_size() override { return {}; }

  private:
    ExtentSet free_;
};

TEST(Gaps, LieBetweenPartitionsButNotWhereBootLoadersLive) {
    std::uint64_t disk = 10 * GiB;
    PartitionTable table = gpt(disk, {partition(1, 100 * MiB, GiB), partition(2, 5 * GiB, GiB)});
    ExtentSet gaps = find_gaps(table, disk);
    std::vector<Range> expected = {{32 * MiB, 68 * MiB},
                                   {100 * MiB + GiB, 4 * GiB - 100 * MiB},
                                   // 1 MiB is kept in front of the backup table, which itself is 33 sectors
                                   {6 * GiB, 4 * GiB - 33 * 512 - MiB}};
    EXPECT_EQ(gaps.to_vector(), expected);
}

TEST(Gaps, OfADiskWithoutPartitionsAreNotKnown) {
    EXPECT_TRUE(find_gaps(gpt(GiB, {}), GiB).empty());
    EXPECT_TRUE(find_gaps(PartitionTable{}, GiB).empty());
}

TEST(Gaps, OfADiskWithDynamicVolumesAreKept) {
    std::uint64_t disk = 10 * GiB;
    EXPECT_TRUE(find_gaps(gpt(disk, {partition(1, MiB, GiB, "42")}), disk).empty());
    EXPECT_TRUE(
        find_gaps(gpt(disk, {partition(1, MiB, GiB, "AF9B60A0-1431-4F62-BC68-3311714A69AD")}), disk).empty());
}

TEST(Gaps, InsideAnExtendedPartitionCountButNotNearItsRecords) {
    std::uint64_t disk = GiB;
    PartitionTable table;
    table.type = TableType::mbr;
    Partition extended = partition(1, MiB, 900 * MiB, "5");
    extended.extended = true;
    table.partitions = {extended, partition(5, 2 * MiB, 100 * MiB), partition(6, 500 * MiB, 100 * MiB)};
    table.areas = ExtentSet::from_unsorted({{0, 512}, {MiB, 512}, {499 * MiB, 512}});
    ExtentSet gaps = find_gaps(table, disk);
    EXPECT_TRUE(gaps.contains({102 * MiB, 396 * MiB}));
    EXPECT_FALSE(gaps.intersects({498 * MiB, 2 * MiB})) << "the EBR and 1 MiB around it";
    EXPECT_TRUE(gaps.contains({600 * MiB, disk - 600 * MiB - MiB}));
    EXPECT_FALSE(gaps.intersects({disk - MiB, MiB}));
}

TEST(Discardable, UnitesFreeSpaceOfPartitionsInAnyOrderOfNumber) {
    std::uint64_t disk = GiB;
    DiskSurvey survey;
    survey.table = gpt(disk, {partition(1, 500 * MiB, 523 * MiB), partition(2, MiB, 499 * MiB)});
    for (const Partition& entry : survey.table.partitions) {
        Content content;
        content.partition = entry.number;
        content.range = entry.range;
        content.filesystem = std::make_unique<FixedFilesystem>(ExtentSet({MiB, 2 * MiB}));
        survey.contents.push_back(std::move(content));
    }
    Discardable result = find_discardable(survey, disk);
    std::vector<Range> expected = {{2 * MiB, 2 * MiB}, {501 * MiB, 2 * MiB}};
    EXPECT_EQ(result.bytes.to_vector(), expected);
    EXPECT_EQ(result.in_filesystems, 4 * MiB);
    EXPECT_EQ(result.in_gaps, 0u);
}

TEST(Discardable, LeavesAloneWhatHasAProblemAndSaysSo) {
    DiskSurvey survey;
    survey.table = gpt(GiB, {partition(1, MiB, 1022 * MiB)});
    Content content;
    content.partition = 1;
    content.range = {MiB, 1022 * MiB};
    content.filesystem = std::make_unique<FixedFilesystem>(ExtentSet({0, GiB / 2}));
    content.problem = Problem{ErrorCode::damaged, Reason::filesystem_damaged, "partition 1 is damaged"};
    survey.contents.push_back(std::move(content));
    Discardable result = find_discardable(survey, GiB);
    EXPECT_TRUE(result.bytes.empty());
    EXPECT_EQ(result.notes, std::vector<std::string>{"partition 1 is damaged"});
}

} // namespace
} // namespace disktool
