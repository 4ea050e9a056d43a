// SPDX-License-Identifier: LGPL-2.1-or-later
// Tables that are damaged in every way that must be noticed, and disks without one.
#include "partition_fixture.h"

namespace disktool::partition_test {
namespace {

using test::MemoryDevice;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(PartitionRead, DamagedPrimaryGpt) {
    make(100 * MiB, three_in_gpt);
    const PartitionTable before = read();
    struct Damage {
        std::uint64_t offset;
        const char* problem;
    };
    for (const Damage damage :
         {Damage{512, "no GPT signature"}, Damage{512 + 24, "bad header checksum"},
          Damage{512 + 60, "bad header checksum"}, Damage{512 + 12, "impossible header length"},
          Damage{1024 + 130, "bad checksum of its entries"}}) {
        const std::string kept = peek(damage.offset, 1);
        poke(damage.offset, std::string(1, static_cast<char>(kept[0] ^ 0x10)));
        const PartitionTable table = read_as_sfdisk();
        EXPECT_THAT(table.warnings,
                    ElementsAre(AllOf(HasSubstr("primary GPT at byte 512"), HasSubstr(damage.problem),
                                      HasSubstr("backup at byte " + std::to_string(100 * MiB - 512)))));
        EXPECT_EQ(table.id, before.id);
        EXPECT_TRUE(table.backup_at_end);
        poke(damage.offset, kept);
    }
}

TEST_F(PartitionRead, DamagedBackupGpt) {
    make(100 * MiB, three_in_gpt);
    for (const std::uint64_t offset : {100 * MiB - 512, 100 * MiB - 512 + 16, 100 * MiB - 33 * 512 + 5}) {
        const std::string kept = peek(offset, 1);
        poke(offset, std::string(1, static_cast<char>(kept[0] ^ 0x10)));
        EXPECT_THAT(read_as_sfdisk().warnings, ElementsAre(AllOf(HasSubstr("backup GPT"), HasSubstr("damaged"),
                                                                 HasSubstr(std::to_string(100 * MiB - 512)))));
        poke(offset, kept);
    }
}

TEST_F(PartitionRead, BothGptDamaged) {
    make(100 * MiB, three_in_gpt);
    poke(512 + 60, "x");
    poke(100 * MiB - 33 * 512 + 200, "x");
    const Error error = this->error();
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_EQ(error.reason(), Reason::table_damaged);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("byte 512 "), HasSubstr("bad header checksum"),
                                    HasSubstr("bad checksum of its entries"), HasSubstr(path_)));
}

TEST_F(PartitionRead, ProtectiveMbrWithoutGpt) {
    make(100 * MiB, three_in_gpt);
    poke(512, std::string(33 * 512, '\0'));
    poke(100 * MiB - 33 * 512, std::string(33 * 512, '\0'));
    EXPECT_EQ(error().reason(), Reason::table_damaged);
}

TEST_F(PartitionRead, GptWithoutProtectiveMbr) {
    make(100 * MiB, three_in_gpt);
    poke(0, std::string(512, '\0'));
    EXPECT_THAT(error().what(), HasSubstr("no protective MBR"));
    run_tool({"mkswap", path_}); // leaves the first 1024 bytes alone; the table is history
    EXPECT_EQ(read().type, TableType::none);
}

TEST_F(PartitionRead, LeftOverGptBelowAnMbr) {
    make(100 * MiB, three_in_gpt);
    const std::string gpt = peek(512, 33 * 512);
    make(100 * MiB, "label: dos\nstart=2048, size=2048, type=83\n");
    poke(512, gpt);
    const PartitionTable table = read_as_sfdisk();
    EXPECT_EQ(table.type, TableType::mbr);
    EXPECT_THAT(table.warnings, ElementsAre(HasSubstr("left over")));
}

TEST_F(PartitionRead, DisagreeingGptCopies) {
    make(100 * MiB, three_in_gpt);
    const std::string backup = peek(100 * MiB - 33 * 512, 33 * 512);
    run_tool({"sgdisk", "-c", "1:other", path_});
    poke(100 * MiB - 33 * 512, backup);
    const PartitionTable table = read_as_sfdisk();
    EXPECT_EQ(table.partitions.at(0).name, "other");
    EXPECT_THAT(table.warnings, ElementsAre(HasSubstr("differs from the primary")));
}

TEST_F(PartitionRead, GrownDisk) {
    make(100 * MiB, three_in_gpt);
    std::filesystem::resize_file(path_, 150 * MiB);
    const PartitionTable table = read_as_sfdisk();
    EXPECT_FALSE(table.backup_at_end);
    EXPECT_THAT(table.warnings, ElementsAre(HasSubstr(std::to_string(100 * MiB - 512))));
    EXPECT_TRUE(table.areas.contains({100 * MiB - 33 * 512, 33 * 512}));
    // Nobody tells where the backup is but the protective MBR.
    poke(512, std::string(33 * 512, 'x'));
    const PartitionTable by_backup = read();
    EXPECT_FALSE(by_backup.backup_at_end);
    EXPECT_EQ(by_backup.partitions.size(), 3u);
    EXPECT_EQ(by_backup.id, table.id);
}

TEST_F(PartitionRead, CutDisk) {
    make(100 * MiB, three_in_gpt);
    std::filesystem::resize_file(path_, 60 * MiB);
    const PartitionTable table = read();
    EXPECT_EQ(table.partitions.size(), 3u);
    EXPECT_FALSE(table.backup_at_end);
    EXPECT_THAT(table.warnings, ElementsAre(HasSubstr("not on the disk"), HasSubstr("last sector")));
}

TEST_F(PartitionRead, PartitionBeyondTheEnd) {
    make(100 * MiB, three_in_gpt);
    std::filesystem::resize_file(path_, 21 * MiB);
    Error error = this->error();
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_EQ(error.reason(), Reason::partition_beyond_end);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("Partition 3"), HasSubstr(std::to_string(45056 * 512)),
                                    HasSubstr(std::to_string(21 * MiB))));
    make(100 * MiB, mbr_with_logical);
    std::filesystem::resize_file(path_, 15 * MiB); // cuts primary 3
    EXPECT_EQ(this->error().reason(), Reason::partition_beyond_end);
    std::filesystem::resize_file(path_, 30 * MiB); // cuts the extended one
    error = this->error();
    EXPECT_EQ(error.reason(), Reason::partition_beyond_end);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(30 * MiB)));
}

TEST_F(PartitionRead, OverlapInMbr) {
    make(100 * MiB, "label: dos\nstart=2048, size=2048, type=83\nstart=4096, "
                    "size=2048, type=83\n");
    poke_number(446 + 12, 2049);
    Error error = this->error();
    EXPECT_EQ(error.reason(), Reason::partitions_overlap);
    EXPECT_THAT(error.what(), HasSubstr("Partitions 1 (bytes 1048576 to 2097664) and 2 (bytes 2097152 to"));
    poke_number(446 + 12, 2048);
    EXPECT_EQ(read().partitions.size(), 2u);
    // a primary over the extended one, a logical over its neighbour, and one over a boot record
    make(100 * MiB, mbr_with_logical);
    poke_number(446 + 2 * 16 + 12, 20480);
    EXPECT_EQ(this->error().reason(), Reason::partitions_overlap);
    make(100 * MiB, mbr_with_logical);
    poke_number(40960 * 512 + 446 + 12, 47105 - 43008);
    EXPECT_THAT(this->error().what(), HasSubstr("Partitions 5 "));
    make(100 * MiB, mbr_with_logical);
    poke_number(40960 * 512 + 446 + 12, 46000 - 43008);
    error = this->error();
    EXPECT_THAT(error.what(),
                HasSubstr("lies over the table itself")); // the next boot record
}

TEST_F(PartitionRead, OverlapInGpt) {
    make(100 * MiB, three_in_gpt);
    for (const std::uint64_t at : {std::uint64_t{512}, 100 * MiB - 512}) {
        std::string header = peek(at, 512);
        const std::uint64_t entries_at = load_le<std::uint64_t>(std::as_bytes(std::span(header)), 72) * 512;
        std::string entries = peek(entries_at, 128 * 128);
        store_le<std::uint64_t>(std::as_writable_bytes(std::span(entries)), 32,
                                3000); // start of number 1
        store_le<std::uint64_t>(std::as_writable_bytes(std::span(entries)), 40,
                                4096); // its end
        seal_gpt_header(std::as_writable_bytes(std::span(header)), std::as_bytes(std::span(entries)));
        poke(at, header);
        poke(entries_at, entries);
    }
    const Error error = this->error();
    EXPECT_EQ(error.reason(), Reason::partitions_overlap);
    EXPECT_THAT(error.what(), HasSubstr("Partitions 1 "));
}

TEST_F(PartitionRead, PartitionOverTheBackupGpt) {
    make(100 * MiB, three_in_gpt);
    std::string header = peek(512, 512);
    std::string entries = peek(1024, 128 * 128);
    store_le<std::uint64_t>(std::as_writable_bytes(std::span(entries)), 2 * 128 + 40, 100 * MiB / 512 - 5);
    seal_gpt_header(std::as_writable_bytes(std::span(header)), std::as_bytes(std::span(entries)));
    poke(512, header);
    poke(1024, entries);
    const Error error = this->error();
    EXPECT_EQ(error.reason(), Reason::table_damaged);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("partition 3 "), HasSubstr("over the table itself")));
}

TEST_F(PartitionRead, ExtendedChainThatLoops) {
    make(100 * MiB, mbr_with_logical);
    const std::uint64_t second = read().areas.to_vector().at(2).offset;
    poke_number(second + 446 + 16 + 8, 0); // the link: back to the first record
    const Error error = this->error();
    EXPECT_EQ(error.reason(), Reason::table_damaged);
    EXPECT_THAT(error.what(), HasSubstr("comes back to byte " + std::to_string(40960 * 512)));
}

TEST_F(PartitionRead, ExtendedChainThatLeaves) {
    make(100 * MiB, mbr_with_logical);
    poke_number(40960 * 512 + 446 + 16 + 8, 130000);
    EXPECT_THAT(error().what(), HasSubstr("points out of it"));
    make(100 * MiB, mbr_with_logical);
    poke_number(40960 * 512 + 446 + 12, 130000);
    EXPECT_THAT(error().what(), HasSubstr("leaves it"));
    make(100 * MiB, mbr_with_logical);
    poke(40960 * 512 + 510, std::string(1, '\0'));
    EXPECT_THAT(error().what(), HasSubstr("no signature"));
}

TEST_F(PartitionRead, TooManyLogicalPartitions) {
    make(200 * MiB, "label: dos\nstart=2048, size=400000, type=5\n");
    const auto write_chain = [this](std::uint32_t records) {
        for (std::uint32_t i = 0; i < records; ++i) {
            const std::uint64_t at = (2048 + std::uint64_t{i} * 100) * 512;
            std::string record(512, '\0');
            const auto bytes = std::as_writable_bytes(std::span(record));
            store_le<std::uint16_t>(bytes, 510, 0xaa55);
            store_le<std::uint8_t>(bytes, 446 + 4, 0x83);
            store_le<std::uint32_t>(bytes, 446 + 8, 1);
            store_le<std::uint32_t>(bytes, 446 + 12, 50);
            if (i + 1 < records) {
                store_le<std::uint8_t>(bytes, 462 + 4, 5);
                store_le<std::uint32_t>(bytes, 462 + 8, (i + 1) * 100);
                store_le<std::uint32_t>(bytes, 462 + 12, 51);
            }
            poke(at, record);
        }
    };
    write_chain(56);
    EXPECT_EQ(read_as_sfdisk().partitions.size(), 57u);
    write_chain(57);
    EXPECT_EQ(error().reason(), Reason::table_not_supported);
}

TEST_F(PartitionRead, TypeOfAnEntryMissing) {
    make(100 * MiB, mbr_with_logical);
    poke(446 + 4, std::string(1, '\0'));
    EXPECT_THAT(error().what(), HasSubstr("a size but no type"));
}

TEST_F(PartitionRead, WholeDiskFileSystems) {
    for (const std::vector<std::string>& maker : {std::vector<std::string>{"mkfs.vfat"},
                                                  {"mkntfs", "-F", "-q", "-f"},
                                                  {"mke2fs", "-q", "-F"},
                                                  {"mkswap"}}) {
        make(40 * MiB);
        std::vector<std::string> argv = maker;
        argv.push_back(path_);
        run_tool(argv);
        EXPECT_EQ(read().type, TableType::none) << maker[0];
        poke(510, "\x55\xaa"); // a boot loader in the first sector
        EXPECT_EQ(read().type, TableType::none) << maker[0];
        EXPECT_TRUE(read().areas.empty());
    }
    // What stands in the place of the entries is boot code, of a file system that nobody knows.
    make(40 * MiB);
    poke(446, std::string(64, 'x') + "\x55\xaa");
    EXPECT_EQ(read().type, TableType::none);
}

TEST_F(PartitionRead, FatWithAnythingInThePlaceOfEntries) {
    make(40 * MiB);
    run_tool({"mkfs.vfat", path_});
    std::string entry(16, '\0');
    entry[4] = '\x83';
    entry[9] = '\x10';
    entry[13] = '\x10';
    poke(446, entry);
    EXPECT_EQ(read().type, TableType::none);
    entry[4] = '\xee';
    entry.replace(8, 2, std::string("\x01\x00", 2));
    poke(446, entry);
    EXPECT_EQ(read().type, TableType::none);
}

TEST_F(PartitionRead, OddSizes) {
    make(100 * MiB, three_in_gpt);
    std::filesystem::resize_file(path_, 100 * MiB + 100);
    EXPECT_TRUE(read_as_sfdisk().backup_at_end);
    make(10 * MiB, "label: dos\nstart=2048, size=2048, type=83\n");
    std::filesystem::resize_file(path_, 4096 * 512 - 1);
    EXPECT_EQ(error().reason(), Reason::partition_beyond_end);
    for (const std::uint64_t size : {0, 1, 511, 512, 513, 1024, 2048, 4096, 8191}) {
        MemoryDevice disk(size);
        EXPECT_EQ(read_partition_table(disk).type, TableType::none) << size;
        EXPECT_EQ(identify_content(disk), std::nullopt) << size;
    }
}

TEST_F(PartitionRead, HugeDisksAndFewReads) {
    make(100 * MiB, three_in_gpt);
    const std::string gpt = peek(0, 34 * 512);
    make(100 * MiB, mbr_with_logical);
    const std::string mbr = peek(0, 100000 * 512);
    for (const std::string& head : {gpt, mbr}) {
        MemoryDevice disk(1ull << 60);
        disk.write(0, std::as_bytes(std::span(head)));
        const PartitionTable table = read_partition_table(disk);
        EXPECT_EQ(table.partitions.size(), head == gpt ? 3u : 6u);
        EXPECT_LT(disk.bytes_read(), 8 * MiB);
    }
}

TEST_F(PartitionRead, ErrorsOfTheDiskAreNotTakenForDamage) {
    MemoryDevice disk(100 * MiB);
    disk.fail_at(100);
    EXPECT_THROW(read_partition_table(disk), SystemError);
}

} // namespace
} // namespace disktool::partition_test
