// SPDX-License-Identifier: LGPL-2.1-or-later
// Partitions and disks that get other ends: what sfdisk prints differs in just the figures that were to change.
#include "partition/table.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace disktool {
namespace {

using test::FileDevice;
using test::run_tool;
using ::testing::HasSubstr;

constexpr std::uint64_t old_size = 200 * MiB;

class PartitionChange : public ::testing::Test {
  protected:
    /// A disk with the table that sfdisk makes of `script`.
    void make(const std::string& script, std::uint64_t size = old_size) {
        std::filesystem::remove(path_);
        std::ofstream(path_).flush();
        std::filesystem::resize_file(path_, size);
        Command sfdisk;
        sfdisk.arguments = {"sfdisk", "-q", path_};
        sfdisk.input = script;
        real_doors().processes.run_checked(sfdisk);
    }
    std::vector<Patch> patches(const TableChange& change) {
        FileDevice disk(path_);
        return table_patches(disk, read_partition_table(disk), change);
    }
    void change(const TableChange& change) {
        const std::vector<Patch> all = patches(change);
        std::filesystem::resize_file(path_, change.disk_size);
        std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
        for (const Patch& patch : all) {
            EXPECT_LE(patch.offset + patch.data.size(), change.disk_size);
            file.seekp(static_cast<std::streamoff>(patch.offset));
            file.write(reinterpret_cast<const char*>(patch.data.data()),
                       static_cast<std::streamsize>(patch.data.size()));
        }
    }
    nlohmann::json dump() {
        auto table = nlohmann::json::parse(run_tool({"sfdisk", "-J", path_})).at("partitiontable");
        table.erase("lastlba");
        return table;
    }
    /// Changes disk and partition, and expects `before` with another size of that partition (and, where given,
    /// of the extended one).
    void expect_change(const TableChange& wanted, std::uint64_t extended_end = 0) {
        nlohmann::json expected = dump();
        change(wanted);
        for (auto& partition : expected["partitions"]) {
            const std::string node = partition["node"];
            const std::uint64_t start = partition["start"];
            if (node == path_ + std::to_string(wanted.partition)) {
                partition["size"] = wanted.partition_end / 512 - start;
            } else if (extended_end != 0 && partition["type"] == "f") {
                partition["size"] = extended_end / 512 - start;
            }
        }
        EXPECT_EQ(dump(), expected);
        const auto verify = test::result_of({"sfdisk", "-V", path_});
        EXPECT_EQ(verify.exit_status, 0) << verify.output << verify.errors;
        FileDevice disk(path_);
        const PartitionTable table = read_partition_table(disk);
        EXPECT_THAT(table.warnings, ::testing::IsEmpty());
        EXPECT_EQ(table.find(wanted.partition)->range.end(), wanted.partition_end);
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "disk.img";
};

constexpr const char* gpt_script = "label: gpt\n"
                                   "1: start=2048, size=20480, name=one\n"
                                   "3: start=204800, size=204000, name=last\n"
                                   "2: start=102400, size=40960, name=middle\n";
constexpr const char* mbr_script = "label: dos\n"
                                   "1: start=2048, size=20480, type=83, bootable\n"
                                   "2: start=40960, size=40960, type=83\n";
constexpr const char* logical_script = "label: dos\n"
                                       "1: start=2048, size=20480, type=83\n"
                                       "2: start=40960, size=368640, type=f\n"
                                       "5: start=43008, size=20480, type=83\n"
                                       "6: start=65536, size=20480, type=83\n"
                                       "7: start=102400, size=40960, type=83\n";

TEST_F(PartitionChange, GptLastShrinksWithItsDisk) {
    make(gpt_script);
    expect_change({121 * MiB, 3, 120 * MiB});
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
}

TEST_F(PartitionChange, GptLastGrowsWithItsDisk) {
    make(gpt_script);
    expect_change({3 * TiB, 3, 3 * TiB - MiB});
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
}

TEST_F(PartitionChange, GptMiddleTakesTheGapBehindIt) {
    make(gpt_script);
    expect_change({old_size, 2, 100 * MiB});
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
}

TEST_F(PartitionChange, GptRoundTripIsTheSameTable) {
    make(gpt_script);
    const nlohmann::json before = dump();
    change({121 * MiB, 3, 120 * MiB});
    change({old_size, 3, (204800 + 204000) * 512});
    EXPECT_EQ(dump(), before);
}

TEST_F(PartitionChange, GptBackupMayLieOverTheOldPartition) {
    make(gpt_script);
    // One sector less than the table would need behind the partition.
    EXPECT_THROW(patches({120 * MiB + 32 * 512, 3, 120 * MiB}), Error);
    expect_change({120 * MiB + 33 * 512, 3, 120 * MiB});
    EXPECT_THAT(run_tool({"sgdisk", "-v", path_}), HasSubstr("No problems found"));
}

TEST_F(PartitionChange, MbrPrimary) {
    make(mbr_script);
    expect_change({50 * MiB, 2, 30 * MiB});
    expect_change({300 * MiB, 2, 300 * MiB});
    expect_change({300 * MiB, 1, 20 * MiB});
}

TEST_F(PartitionChange, MbrBeyond2TiBIsRefused) {
    make(mbr_script);
    change({2 * TiB, 2, 2 * TiB});
    try {
        patches({3 * TiB, 2, 3 * TiB});
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::size_impossible);
        EXPECT_EQ(error.reason(), Reason::size_too_large);
    }
}

TEST_F(PartitionChange, LogicalTakesTheExtendedOneAlong) {
    make(logical_script);
    expect_change({60 * MiB, 7, 60 * MiB}, 60 * MiB);
    expect_change({400 * MiB, 7, 400 * MiB}, 400 * MiB);
}

TEST_F(PartitionChange, LogicalInTheMiddleKeepsTheChain) {
    make(logical_script);
    expect_change({old_size, 6, 49 * MiB});
    expect_change({old_size, 5, 31 * MiB});
}

TEST_F(PartitionChange, ExtendedTailIsCutWithTheDisk) {
    make(logical_script);
    expect_change({80 * MiB, 7, (102400 + 40960) * 512}, (102400 + 40960) * 512);
}

TEST_F(PartitionChange, NeverCutsAPartition) {
    for (const char* script : {gpt_script, mbr_script, logical_script}) {
        make(script);
        try {
            patches({30 * MiB});
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::size_impossible);
            EXPECT_EQ(error.reason(), Reason::last_partition_end);
        }
    }
}

} // namespace
} // namespace disktool
