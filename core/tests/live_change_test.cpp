// SPDX-License-Identifier: LGPL-2.1-or-later
// A partition table that is rewritten under a running system: whatever a cut leaves of the writes is a table.
#include "partition/live_change.h"
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <set>

namespace disktool {
namespace {

using test::FileDevice;
using test::MemoryDevice;
using test::run_tool;

constexpr std::uint64_t old_size = 16 * MiB;
constexpr std::uint64_t new_size = 24 * MiB;
constexpr std::size_t sector = 512;

struct SectorWrite {
    std::uint64_t offset;
    std::vector<std::byte> data;
    std::size_t flushes; ///< before it
};

/// Keeps the content as it was, and remembers what was to be written, sector by sector.
class WriteLog final : public BlockDevice {
  public:
    explicit WriteLog(BlockDevice& disk) : disk_(disk) {}
    std::uint64_t size() const override { return disk_.size(); }
    std::string name() const override { return "log"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override { disk_.read(offset, buffer); }
    bool writable() const override { return true; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        for (std::size_t at = 0; at < data.size(); at += sector) {
            const auto part = data.subspan(at, sector);
            writes.push_back({offset + at, {part.begin(), part.end()}, flushes});
        }
    }
    void flush() override { ++flushes; }

    std::vector<SectorWrite> writes;
    std::size_t flushes = 0;

  private:
    BlockDevice& disk_;
};

class LiveChange : public ::testing::Test {
  protected:
    /// A disk of old_size with that table, then made longer; `make` gets its path.
    void make(const std::function<void(const std::string&)>& write_table) {
        { std::ofstream(path_).flush(); }
        std::filesystem::resize_file(path_, old_size);
        write_table(path_);
        std::filesystem::resize_file(path_, new_size);
    }
    void make_gpt() {
        make([](const std::string& path) {
            run_tool({"sgdisk", "-n", "1:2048:20480", "-n", "2:20481:30000", "-c", "2:last", path});
        });
    }
    std::unique_ptr<MemoryDevice> disk() {
        FileDevice file(path_);
        auto copy = std::make_unique<MemoryDevice>(file.size());
        for (const Extent& extent : file.extents({0, file.size()})) {
            if (extent.kind == ExtentKind::data) {
                std::vector<std::byte> data(extent.range.length);
                file.read(extent.range.offset, data);
                copy->write(extent.range.offset, data);
            }
        }
        return copy;
    }
    void damage(std::uint64_t offset) {
        FileDevice file(path_, Access::write);
        file.write(offset, std::vector<std::byte>(sector, std::byte{0x5a}));
    }
    TableChange change() {
        FileDevice file(path_);
        const PartitionTable table = read_partition_table(file);
        const Partition& last = *table.last();
        return {new_size, last.number, round_down(new_size - table.tail, MiB)};
    }
    void write(WriteLog& log) { change_table_in_place(log, read_partition_table(log), change()); }
    /// The last partition's end; both tables must be there but for that.
    std::uint64_t end_after(std::span<const SectorWrite> done, const std::vector<bool>& survives) {
        const std::unique_ptr<MemoryDevice> after = disk();
        for (std::size_t i = 0; i < done.size(); ++i) {
            if (survives[i]) {
                after->write(done[i].offset, done[i].data);
            }
        }
        const PartitionTable table = read_partition_table(*after);
        EXPECT_EQ(table.partitions.size(), count_);
        return table.last() == nullptr ? 0 : table.last()->range.end();
    }
    /// Of a process killed after each sector, and of power cuts with a random part of what was not flushed.
    void expect_old_or_new() {
        const std::unique_ptr<MemoryDevice> before = disk();
        count_ = read_partition_table(*before).partitions.size();
        const std::uint64_t old_end = read_partition_table(*before).last()->range.end();
        const std::uint64_t new_end = change().partition_end;
        WriteLog log(*before);
        write(log);
        ASSERT_FALSE(log.writes.empty());
        std::set<std::uint64_t> seen;
        std::mt19937 random(7);
        for (std::size_t cut = 0; cut <= log.writes.size(); ++cut) {
            const auto done = std::span(log.writes).first(cut);
            for (int attempt = 0; attempt < 8; ++attempt) {
                std::vector<bool> survives(cut, true);
                for (std::size_t i = 0; attempt > 0 && i < cut; ++i) {
                    survives[i] = done[i].flushes < done.back().flushes || random() % 2 == 0;
                }
                SCOPED_TRACE("cut after " + std::to_string(cut) + ", attempt " + std::to_string(attempt));
                std::uint64_t end = 0;
                ASSERT_NO_THROW(end = end_after(done, survives));
                ASSERT_TRUE(end == old_end || end == new_end) << end;
                seen.insert(end);
            }
        }
        EXPECT_EQ(seen, (std::set{old_end, new_end}));
        EXPECT_EQ(log.writes.back().flushes + 1, log.flushes) << "the last writes are not flushed";
    }

    test::TemporaryFolder folder_;
    std::string path_ = (folder_.path() / "disk").string();
    std::size_t count_ = 0;
};

TEST_F(LiveChange, EveryCutLeavesATable) {
    make_gpt();
    expect_old_or_new();
}

TEST_F(LiveChange, AlsoWhereThePrimaryIsDamaged) {
    make_gpt();
    damage(sector);
    // The backup of the old end is found by the protective MBR.
    expect_old_or_new();
}

TEST_F(LiveChange, AlsoWhereTheBackupIsDamaged) {
    make_gpt();
    damage(old_size - sector);
    expect_old_or_new();
}

TEST_F(LiveChange, AlsoOfAnExtendedPartition) {
    make([](const std::string& path) {
        run_tool({"bash", "-c",
                  "printf 'label: "
                  "dos\nstart=2048,size=2048\nstart=8192,size=20000,type=5\nstart=10240,size=2048\nstart=14336,"
                  "size=4096\n' | sfdisk -q " +
                      path});
    });
    expect_old_or_new();
}

TEST_F(LiveChange, WhatItLeavesIsInOrder) {
    make_gpt();
    {
        FileDevice file(path_, Access::write);
        change_table_in_place(file, read_partition_table(file), change());
    }
    EXPECT_NE(run_tool({"sgdisk", "-v", path_}).find("No problems found"), std::string::npos);
    // Nothing is left of the backup at the old end, and a second time there is nothing to do.
    const std::unique_ptr<MemoryDevice> after = disk();
    std::vector<std::byte> old_backup(33 * sector);
    after->read(old_size - old_backup.size(), old_backup);
    EXPECT_TRUE(std::ranges::all_of(old_backup, [](std::byte byte) { return byte == std::byte{0}; }));
    WriteLog log(*after);
    write(log);
    EXPECT_TRUE(log.writes.empty());
}

} // namespace
} // namespace disktool
