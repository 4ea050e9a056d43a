// SPDX-License-Identifier: LGPL-2.1-or-later
// What the makers of file systems make, recognised on a sparse copy of a few pieces.
#include "partition/little_endian.h"
#include "partition/table.h"
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/devices.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace disktool {
namespace {

using test::FileDevice;
using test::MemoryDevice;
using test::run_tool;

struct Maker {
    const char* type;
    std::vector<std::string> argv; ///< the image's path is added
    std::uint64_t size;
};

std::ostream& operator<<(std::ostream& out, const Maker& maker) {
    return out << maker.type;
}

class ContentOf : public ::testing::TestWithParam<Maker> {
  protected:
    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "disk.img";
};

TEST_P(ContentOf, AWholeDiskAndAPartition) {
    std::ofstream(path_).flush();
    std::filesystem::resize_file(path_, GetParam().size);
    std::vector<std::string> argv = GetParam().argv;
    argv.push_back(path_);
    run_tool(argv);
    EXPECT_EQ(run_tool({"blkid", "-p", "-o", "value", "-s", "TYPE", path_}),
              std::string(GetParam().type) + "\n");
    FileDevice disk(path_);
    EXPECT_EQ(identify_content(disk), GetParam().type);

    // The same in a partition of another disk, whose bytes around it are not looked at.
    MemoryDevice larger(disk.size() + 2 * MiB);
    for (std::uint64_t at = 0; at < disk.size(); at += MiB) {
        std::vector<std::byte> piece(std::min(MiB, disk.size() - at));
        disk.read(at, piece);
        if (piece != std::vector<std::byte>(piece.size())) {
            larger.write(MiB + at, piece);
        }
    }
    Window partition(larger, {MiB, disk.size()}, "partition");
    EXPECT_EQ(identify_content(partition), GetParam().type);
}

INSTANTIATE_TEST_SUITE_P(
    Makers, ContentOf,
    ::testing::Values(Maker{"ext2", {"mke2fs", "-q", "-t", "ext2"}, 20 * MiB},
                      Maker{"ext4", {"mke2fs", "-q", "-t", "ext4"}, 20 * MiB},
                      Maker{"xfs", {"mkfs.xfs", "-q"}, 320 * MiB},
                      Maker{"btrfs", {"mkfs.btrfs", "-q"}, 120 * MiB},
                      Maker{"ntfs", {"mkntfs", "-F", "-q", "-f"}, 20 * MiB},
                      Maker{"vfat", {"mkfs.vfat", "-F", "32"}, 40 * MiB},
                      Maker{"vfat", {"mkfs.vfat"}, 20 * MiB}, Maker{"swap", {"mkswap"}, 20 * MiB},
                      Maker{"crypto_LUKS",
                            {"cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "pbkdf2",
                             "--pbkdf-force-iterations", "1000", "--key-file", DISKTOOL_SOURCE_DIR "/COPYING"},
                            20 * MiB}));

TEST(Content, LvmPhysicalVolume) {
    // pvcreate does not take a file, so this is its label by hand, of the parts that libblkid checks: in the
    // second sector, "LABELONE", the sector's number, a checksum, an offset, and the kind.
    MemoryDevice disk(20 * MiB);
    std::vector<std::byte> label(512);
    std::memcpy(label.data(), "LABELONE", 8);
    store_le<std::uint64_t>(label, 8, 1);
    store_le<std::uint32_t>(label, 20, 32);
    std::memcpy(label.data() + 24, "LVM2 001", 8);
    std::memcpy(label.data() + 32, "0123456789abcdef0123456789abcdef", 32);
    store_le<std::uint64_t>(label, 64, 20 * MiB);
    // the checksum that LVM uses: CRC-32 with its own start value, over all that follows it
    std::uint32_t crc = 0xf597a6cf;
    for (std::size_t i = 20; i < label.size(); ++i) {
        crc ^= std::to_integer<std::uint32_t>(label[i]);
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
        }
    }
    store_le(label, 16, crc);
    disk.write(512, label);
    EXPECT_EQ(identify_content(disk), "LVM2_member");
    EXPECT_EQ(read_partition_table(disk).type, TableType::none);
}

TEST(Content, NtfsAsWindowsMakesIt) {
    // Windows puts the master file table at cluster 0xC0000, which is 3 GiB.
    test::TemporaryFolder folder;
    const std::string path = folder / "ntfs.img";
    std::ofstream(path).flush();
    std::filesystem::resize_file(path, 4 * GiB);
    run_tool({"mkntfs", "-F", "-q", "-f", "-c", "4096", path});
    FileDevice file(path);
    MemoryDevice disk(file.size());
    std::vector<std::byte> start(16 * KiB);
    file.read(0, start);
    const auto cluster = load_le<std::uint64_t>(start, 48);
    std::vector<std::byte> records(4 * 1024);
    file.read(cluster * 4096, records);
    ASSERT_EQ(std::memcmp(records.data(), "FILE", 4), 0);
    store_le<std::uint64_t>(start, 48, 0xC0000);
    disk.write(0, start);
    EXPECT_EQ(identify_content(disk),
              std::nullopt); // nothing there: an NTFS that libblkid does not believe
    disk.write(3 * GiB, records);
    EXPECT_EQ(identify_content(disk), "ntfs");
}

TEST(Content, OfTwoKindsIsNone) {
    test::TemporaryFolder folder;
    const std::string path = folder / "disk.img";
    std::ofstream(path).flush();
    std::filesystem::resize_file(path, 320 * MiB);
    run_tool({"mkfs.xfs", "-q", path});
    FileDevice file(path);
    MemoryDevice disk(file.size());
    std::vector<std::byte> start(MiB);
    file.read(0, start);
    disk.write(0, start);
    ASSERT_EQ(identify_content(disk), "xfs");
    std::filesystem::resize_file(path, 0);
    std::filesystem::resize_file(path, 320 * MiB);
    run_tool({"mkfs.btrfs", "-q", path});
    FileDevice other(path);
    std::vector<std::byte> superblock(4096);
    other.read(64 * KiB, superblock);
    disk.write(64 * KiB, superblock);
    EXPECT_EQ(identify_content(disk), std::nullopt);
}

TEST(Content, UnknownOrEmpty) {
    MemoryDevice disk(100 * MiB);
    EXPECT_EQ(identify_content(disk), std::nullopt);
    std::vector<std::byte> noise(3 * MiB);
    std::mt19937 random(1);
    for (std::byte& byte : noise) {
        byte = static_cast<std::byte>(random());
    }
    disk.write(0, noise);
    EXPECT_EQ(identify_content(disk), std::nullopt);
    EXPECT_LT(disk.bytes_read(), 8 * MiB);
    MemoryDevice huge(1ull << 60);
    EXPECT_EQ(identify_content(huge), std::nullopt);
}

TEST(Content, ErrorsOfTheDiskAreReported) {
    MemoryDevice disk(100 * MiB);
    disk.fail_at(MiB);
    EXPECT_THROW(identify_content(disk), SystemError);
}

} // namespace
} // namespace disktool
