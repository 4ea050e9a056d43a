// SPDX-License-Identifier: LGPL-2.1-or-later
// An image with a partition table that a tool has made, and what of it is read.
#pragma once

#include "partition/gpt.h"
#include "partition/little_endian.h"
#include "partition/table.h"
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace disktool::partition_test {

using test::FileDevice;
using test::run_tool;

inline void feed(std::vector<std::string> argv, const std::string& input) {
    Command command;
    command.arguments = std::move(argv);
    command.input = input;
    real_doors().processes.run_checked(command);
}

/// An image in a file of its own.
class PartitionImage : public ::testing::Test {
  protected:
    /// Empty.
    void make(std::uint64_t size) {
        std::ofstream(path_).flush();
        std::filesystem::resize_file(path_, size);
    }
    /// Overwrites bytes of the image.
    void poke(std::uint64_t offset, const std::string& bytes) {
        std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    std::string peek(std::uint64_t offset, std::size_t length) {
        std::string bytes(length, '\0');
        FileDevice disk(path_);
        disk.read(offset, std::as_writable_bytes(std::span(bytes)));
        return bytes;
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "disk.img";
};

class PartitionRead : public PartitionImage {
  protected:
    using PartitionImage::make;
    void make(std::uint64_t size, const std::string& sfdisk_script) {
        make(size);
        feed({"sfdisk", "-q", path_}, sfdisk_script);
    }
    void poke_number(std::uint64_t offset, std::uint32_t value) {
        std::string bytes(4, '\0');
        store_le(std::as_writable_bytes(std::span(bytes)), 0, value);
        poke(offset, bytes);
    }
    PartitionTable read() {
        FileDevice disk(path_);
        return read_partition_table(disk);
    }
    Error error() {
        try {
            const PartitionTable table = read();
            ADD_FAILURE() << "read as " << table.type_text() << " with " << table.partitions.size()
                          << " partitions";
        } catch (const Error& error) {
            return error;
        }
        return {ErrorCode::failure, ""};
    }
    /// Reads the image and compares everything with what sfdisk says.
    PartitionTable read_as_sfdisk() {
        PartitionTable table = read();
        const auto oracle = nlohmann::json::parse(run_tool({"sfdisk", "-J", path_})).at("partitiontable");
        EXPECT_EQ(table.type_text(), oracle.at("label") == "dos" ? "mbr" : oracle.at("label"));
        EXPECT_EQ(table.id, oracle.at("id"));
        EXPECT_EQ(table.sector_size, oracle.at("sectorsize"));
        const auto expected = oracle.value("partitions", nlohmann::json::array());
        EXPECT_EQ(table.partitions.size(), expected.size());
        for (std::size_t i = 0; i < std::min(table.partitions.size(), expected.size()); ++i) {
            const Partition& partition = table.partitions[i];
            const auto& wanted = expected[i];
            EXPECT_EQ(path_ + std::to_string(partition.number), wanted.at("node"));
            EXPECT_EQ(partition.range.offset, wanted.at("start").get<std::uint64_t>() * 512);
            EXPECT_EQ(partition.range.length, wanted.at("size").get<std::uint64_t>() * 512);
            EXPECT_EQ(partition.type, wanted.at("type"));
            EXPECT_EQ(partition.name, wanted.value("name", ""));
            EXPECT_EQ(partition.uuid, wanted.value("uuid", ""));
            EXPECT_EQ(partition.bootable, wanted.value("bootable", false));
        }
        return table;
    }
};

constexpr const char* mbr_with_logical = "label: dos\n"
                                         "start=2048, size=20480, type=83, bootable\n"
                                         "start=40960, size=120000, type=f\n"
                                         "start=43008, size=2048, type=83\n"
                                         "start=47104, size=2048, type=82\n"
                                         "start=51200, size=4096, type=8e\n"
                                         "start=22528, size=10240, type=7\n";

constexpr const char* three_in_gpt = "label: gpt\n"
                                     "start=2048, size=2048, type=U, name=\"EFI system\"\n"
                                     "start=4096, size=20480, type=L, name=\"Größe 磁盘\"\n"
                                     "start=40960, size=4096, type=S, attrs=\"RequiredPartition\"\n";

} // namespace disktool::partition_test
