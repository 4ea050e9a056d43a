// SPDX-License-Identifier: LGPL-2.1-or-later
// A GPT follows its disk's end: sgdisk finds no problem, and sfdisk prints the same table as before.
#include "partition_fixture.h"

namespace disktool {
namespace {

using test::FileDevice;
using test::MemoryDevice;
using test::run_tool;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint64_t old_size = 100 * MiB;

class PartitionGrow : public partition_test::PartitionImage {
  protected:
    PartitionGrow() {
        if (!head.empty()) {
            restore();
            return;
        }
        make(old_size);
        run_tool({"sgdisk", "-n", "1:2048:4095", "-t", "1:ef02", "-n", "3:40960:60000", "-c", "3:Größe 磁盘",
                  "-A", "3:set:2", "-A", "3:set:60", "-n", "2:8192:20000", path_});
        poke(0, "boot code" + std::string(431, '\x90')); // all of the 440 bytes
        head = peek(0, 34 * 512);
        tail = peek(old_size - 33 * 512, 33 * 512);
    }
    /// The disk as it was at first.
    void restore() {
        make(old_size);
        poke(0, head);
        poke(old_size - tail.size(), tail);
    }
    std::vector<Patch> patches(std::uint64_t new_size) {
        FileDevice disk(path_);
        return table_patches(disk, read_partition_table(disk), {new_size});
    }
    /// Grows the image as a job would: the patches, and nothing else.
    std::vector<Patch> grow(std::uint64_t new_size) {
        std::vector<Patch> result = patches(new_size);
        std::filesystem::resize_file(path_, new_size);
        std::uint64_t end = 0;
        for (const Patch& patch : result) {
            EXPECT_TRUE(patch.offset > end || end == 0) << "not sorted, or two that touch";
            end = patch.offset + patch.data.size();
            EXPECT_LE(end, new_size);
            poke(patch.offset, {reinterpret_cast<const char*>(patch.data.data()), patch.data.size()});
        }
        return result;
    }
    /// What sfdisk says, without what a new end changes.
    nlohmann::json dump() {
        auto table = nlohmann::json::parse(run_tool({"sfdisk", "-J", path_})).at("partitiontable");
        table.erase("lastlba");
        return table;
    }
    void expect_sound(const nlohmann::json& before) {
        EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
        EXPECT_EQ(dump(), before);
        const auto verify = test::result_of({"sfdisk", "-V", path_});
        EXPECT_THAT(verify.output + verify.errors,
                    AllOf(Not(HasSubstr("corrupt")), Not(HasSubstr("mismatch"))));
        FileDevice disk(path_);
        const PartitionTable table = read_partition_table(disk);
        EXPECT_TRUE(table.backup_at_end);
        EXPECT_THAT(table.warnings, IsEmpty());
        EXPECT_THAT(table_patches(disk, table, {disk.size()}),
                    IsEmpty()); // nothing is left to do
    }

    static inline std::string head; ///< both ends of a disk that sgdisk has made, once for all tests
    static inline std::string tail;
};

TEST_F(PartitionGrow, ToAnySize) {
    const nlohmann::json before = dump();
    // Up to 33 sectors more, the new backup lies partly over the old one.
    for (const std::uint64_t more :
         {std::uint64_t{512}, std::uint64_t{16 * 512}, std::uint64_t{33 * 512}, MiB, 7 * GiB, 5 * TiB}) {
        restore();
        grow(old_size + more);
        expect_sound(before);
        EXPECT_EQ(peek(0, 446), head.substr(0, 446));
        EXPECT_EQ(peek(1024, 32 * 512), head.substr(1024));
    }
}

TEST_F(PartitionGrow, WritesLittleAndLeavesNoSecondBackup) {
    std::uint64_t written = 0;
    for (const Patch& patch : grow(2 * GiB)) {
        written += patch.data.size();
    }
    // The MBR and the primary header; the old header and the one sector of its array that has entries; the
    // new ones.
    EXPECT_EQ(written, (2 + 2 + 33) * 512u);
    EXPECT_EQ(peek(old_size - 33 * 512, 33 * 512), std::string(33 * 512, '\0'));
    EXPECT_EQ(peek(2 * GiB - 512, 8), "EFI PART");
}

TEST_F(PartitionGrow, MendsADamagedCopy) {
    const nlohmann::json before = dump();
    for (const std::uint64_t damage : {std::uint64_t{512}, std::uint64_t{512 + 30}, std::uint64_t{1024 + 40},
                                       old_size - 512, old_size - 512 + 90, old_size - 33 * 512 + 3}) {
        restore();
        poke(damage, "DAMAGE");
        grow(150 * MiB);
        SCOPED_TRACE(damage);
        expect_sound(before);
    }
}

TEST_F(PartitionGrow, DiskThatHasGrownBefore) {
    const nlohmann::json before = dump();
    std::filesystem::resize_file(path_, 150 * MiB);
    grow(150 * MiB);
    expect_sound(before);
    EXPECT_EQ(peek(old_size - 512, 8), std::string(8, '\0'));
    std::filesystem::resize_file(path_, 200 * MiB);
    poke(512, std::string(512, 'x')); // and only the protective MBR knows where the backup is
    grow(250 * MiB);
    expect_sound(before);
}

TEST_F(PartitionGrow, StaleBytesAtTheNewEnd) {
    const nlohmann::json before = dump();
    std::filesystem::resize_file(path_, 150 * MiB);
    poke(150 * MiB - 40 * 512, std::string(40 * 512, 'x'));
    grow(150 * MiB);
    expect_sound(before);
}

TEST_F(PartitionGrow, TableWithItsEntriesElsewhere) {
    run_tool({"sgdisk", "-j", "100", path_});
    poke(1024, std::string(64 * 512, 'B')); // a boot loader before the entries
    const nlohmann::json before = dump();
    grow(150 * MiB);
    expect_sound(before);
    poke(512, std::string(512, '\0')); // the primary header is lost
    grow(200 * MiB);
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
    EXPECT_EQ(dump(), before);
    EXPECT_EQ(peek(1024, 64 * 512), std::string(64 * 512, 'B'));
}

TEST_F(PartitionGrow, TablesOfOtherLengths) {
    for (const char* entries : {"4", "200"}) {
        make(old_size);
        run_tool({"sgdisk", "-S", entries, "-n", "2:8192:20000", path_});
        const nlohmann::json before = dump();
        grow(old_size + 4 * MiB);
        expect_sound(before);
    }
}

TEST_F(PartitionGrow, SectorsOf4096Bytes) {
    make(old_size);
    Command fdisk;
    fdisk.arguments = {"fdisk", "-b", "4096", path_};
    fdisk.input = "g\nn\n1\n\n+10M\nw\n";
    real_doors().processes.run_checked(fdisk);
    const auto dump_4096 = [this] {
        return run_tool({"fdisk", "-b", "4096", "-l", "-o", "Start,End,Type,UUID", path_});
    };
    const auto from_partitions = [](const std::string& text) { return text.substr(text.find("Start")); };
    const std::string before = from_partitions(dump_4096());
    grow(200 * MiB + 512); // not a whole number of sectors
    FileDevice disk(path_);
    const PartitionTable table = read_partition_table(disk);
    EXPECT_TRUE(table.backup_at_end);
    EXPECT_THAT(table.warnings, IsEmpty());
    EXPECT_EQ(peek(200 * MiB - 4096, 8), "EFI PART");
    EXPECT_EQ(from_partitions(dump_4096()), before);
    const auto verify = test::result_of({"fdisk", "-b", "4096", "-l", path_});
    EXPECT_THAT(verify.output + verify.errors,
                AllOf(Not(HasSubstr("corrupt")), Not(HasSubstr("not on the end")), Not(HasSubstr("mismatch"))));
}

TEST_F(PartitionGrow, HybridMbrKeepsItsEntries) {
    run_tool({"sgdisk", "-h", "2", path_});
    const std::string mbr = peek(0, 512);
    const nlohmann::json before = dump();
    grow(200 * MiB);
    EXPECT_EQ(peek(0, 512), mbr);
    EXPECT_EQ(dump(), before);
}

TEST_F(PartitionGrow, Beyond2TiBTheProtectiveEntryIsFull) {
    MemoryDevice disk(1ull << 59);
    disk.write(0, std::as_bytes(std::span(head)));
    const std::uint64_t new_size = 1ull << 60;
    const auto patches = table_patches(disk, read_partition_table(disk), {new_size});
    MemoryDevice grown(new_size);
    grown.write(0, std::as_bytes(std::span(head)));
    for (const Patch& patch : patches) {
        grown.write(patch.offset, patch.data);
    }
    const PartitionTable table = read_partition_table(grown);
    EXPECT_TRUE(table.backup_at_end);
    EXPECT_THAT(table.warnings, IsEmpty());
    std::vector<std::byte> sector(512);
    grown.read(0, sector);
    EXPECT_EQ(load_le<std::uint32_t>(sector, 446 + 12), 0xffffffffu);
}

TEST_F(PartitionGrow, NothingToDoWithoutGpt) {
    make(old_size);
    EXPECT_THAT(patches(200 * MiB), IsEmpty());
    Command sfdisk;
    sfdisk.arguments = {"sfdisk", "-q", path_};
    sfdisk.input = "label: dos\nstart=2048, size=2048, type=83\n";
    real_doors().processes.run_checked(sfdisk);
    EXPECT_THAT(patches(200 * MiB), IsEmpty());
}

TEST_F(PartitionGrow, RefusesWhatCannotBe) {
    const auto refusal = [this](std::uint64_t new_size) {
        try {
            patches(new_size);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::size_impossible);
            return error.reason();
        }
        return Reason::none;
    };
    EXPECT_EQ(refusal(60000 * 512), Reason::last_partition_end); // into partition 3
    // Somebody has cut the disk right behind partition 3: no room for a backup within the next 33 sectors.
    const std::uint64_t cut = 60001 * 512;
    std::filesystem::resize_file(path_, cut);
    EXPECT_EQ(refusal(cut + 32 * 512), Reason::last_partition_end);
    grow(cut + 33 * 512);
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
}

} // namespace
} // namespace disktool
