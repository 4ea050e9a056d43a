// SPDX-License-Identifier: LGPL-2.1-or-later
// Tables as sfdisk, sgdisk and fdisk make them, read and compared with what these tools print.
#include "partition_fixture.h"

namespace disktool::partition_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(PartitionRead, MbrWithPrimariesAndLogicals) {
    make(100 * MiB, mbr_with_logical);
    const PartitionTable table = read_as_sfdisk();
    ASSERT_EQ(table.partitions.size(), 6u);
    EXPECT_TRUE(table.partitions[1].extended);
    EXPECT_FALSE(table.partitions[1].logical);
    EXPECT_TRUE(table.partitions[3].logical);
    EXPECT_EQ(table.partitions[3].number, 5);
    EXPECT_EQ(table.partitions[0].type_name, "Linux");
    EXPECT_EQ(table.last()->number, 7);
    EXPECT_THAT(table.warnings, IsEmpty());
    // The first record lies at the start of the extended partition, the others where the links point.
    const auto areas = table.areas.to_vector();
    ASSERT_EQ(areas.size(), 4u);
    EXPECT_EQ(areas[0], (Range{0, 512}));
    EXPECT_EQ(areas[1], (Range{40960 * 512, 512}));
    for (const Range area : areas) {
        EXPECT_EQ(peek(area.offset + 510, 2), "\x55\xaa");
    }
}

TEST_F(PartitionRead, MbrWithoutPartitions) {
    make(10 * MiB, "label: dos\n");
    EXPECT_EQ(read_as_sfdisk().last(), nullptr);
}

TEST_F(PartitionRead, MbrWithABlankExtendedPartition) {
    make(100 * MiB, "label: dos\nstart=2048, size=100000, type=5\n");
    poke(2048 * 512, std::string(512, '\0'));
    EXPECT_EQ(read_as_sfdisk().partitions.size(), 1u);
}

TEST_F(PartitionRead, Gpt) {
    make(100 * MiB, three_in_gpt);
    const PartitionTable table = read_as_sfdisk();
    EXPECT_EQ(table.partitions.at(0).type_name, "EFI System");
    EXPECT_TRUE(table.backup_at_end);
    EXPECT_THAT(table.warnings, IsEmpty());
    EXPECT_THAT(table.areas.to_vector(),
                ElementsAre(Range{0, 34 * 512}, Range{100 * MiB - 33 * 512, 33 * 512}));
}

TEST_F(PartitionRead, PartitionsOutOfOrder) {
    make(100 * MiB);
    run_tool({"sgdisk", "-n", "3:2048:4095", "-n", "1:90000:100000", "-n", "7:50000:60000", path_});
    const PartitionTable table = read_as_sfdisk();
    EXPECT_EQ(table.last()->number, 1);
    make(100 * MiB, "label: dos\nstart=90000, size=1000, type=83\nstart=2048, "
                    "size=1000, type=83\n");
    EXPECT_EQ(read_as_sfdisk().last()->number, 1);
}

TEST_F(PartitionRead, HybridMbrIsReadAsGpt) {
    make(100 * MiB, three_in_gpt);
    run_tool({"sgdisk", "-h", "2", path_});
    const PartitionTable table = read_as_sfdisk();
    EXPECT_EQ(table.type, TableType::gpt);
    EXPECT_THAT(table.warnings, ElementsAre(HasSubstr("hybrid")));
}

TEST_F(PartitionRead, GptWithSectorsOf4096Bytes) {
    make(100 * MiB);
    feed({"fdisk", "-b", "4096", path_}, "g\nn\n1\n\n+10M\nn\n2\n\n+20M\nw\n");
    const PartitionTable table = read();
    EXPECT_EQ(table.sector_size, 4096u);
    ASSERT_EQ(table.partitions.size(), 2u);
    EXPECT_EQ(table.partitions[0].range.length, 10 * MiB);
    EXPECT_EQ(table.partitions[1].range.length, 20 * MiB);
    const std::string listed = run_tool({"fdisk", "-b", "4096", "-l", "-o", "Start,UUID", path_});
    for (const Partition& partition : table.partitions) {
        EXPECT_THAT(listed,
                    AllOf(HasSubstr(std::to_string(partition.range.offset / 4096)), HasSubstr(partition.uuid)));
    }
    EXPECT_THAT(table.areas.to_vector(),
                ElementsAre(Range{0, 6 * 4096}, Range{100 * MiB - 5 * 4096, 5 * 4096}));
}

TEST_F(PartitionRead, MbrWithSectorsOf4096BytesIsToldByItsContent) {
    make(100 * MiB);
    feed({"fdisk", "-b", "4096", path_}, "o\nn\np\n1\n256\n+8M\nw\n");
    EXPECT_EQ(read().sector_size, 512u); // nothing tells
    run_tool({"mke2fs", "-q", "-t", "ext4", "-E", "offset=1048576", path_, "8M"});
    const PartitionTable table = read();
    EXPECT_EQ(table.sector_size, 4096u);
    EXPECT_EQ(table.partitions.at(0).range, (Range{MiB, 8 * MiB}));
}

} // namespace
} // namespace disktool::partition_test
