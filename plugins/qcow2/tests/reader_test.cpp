// SPDX-License-Identifier: LGPL-2.1-or-later
// What the guest reads, compared with qemu-img.
#include "test_images.h"

#include <algorithm>
#include <random>

namespace disktool::qcow2::test {
namespace {

class ReaderTest : public testing::TestWithParam<ImageCase> {};

/// The whole disk against a raw copy that QEMU made; a terabyte only where QEMU says there is something.
TEST_P(ReaderTest, ReadsWhatQemuReads) {
    const TemporaryFolder folder;
    const std::string path = GetParam().make(folder);
    run_tool(
        {"qemu-img", "convert", "-t", "unsafe", "-U", "-f", "qcow2", "-O", "raw", path, folder / "copy.raw"});
    const auto copy = real_doors().files.open(folder / "copy.raw", {});
    const auto image = open(path);
    BlockDevice& device = image->device();
    ASSERT_EQ(device.size(), copy->status().size);

    std::mt19937 random(1);
    std::vector<std::byte> ours;
    std::vector<std::byte> theirs;
    const auto compare = [&](std::uint64_t offset, std::uint64_t length) {
        ours.assign(length, std::byte{0xa5});
        theirs.assign(length, std::byte{0});
        device.read(offset, ours);
        copy->read(offset, theirs);
        ASSERT_TRUE(ours == theirs) << length << " bytes at " << offset;
    };
    const std::uint64_t whole = std::min(device.size(), 64 * MiB);
    for (std::uint64_t offset = 0; offset < whole;) {
        const std::uint64_t length = std::min<std::uint64_t>(1 + random() % (3 * MiB), whole - offset);
        compare(offset, length);
        offset += length;
    }
    for (auto data = copy->next_data(whole); data && *data < device.size();
         data = copy->next_data(*data + MiB)) {
        const std::uint64_t from = *data - std::min(*data, 64 * KiB);
        compare(from, std::min(2 * MiB, device.size() - from));
    }
    for (int i = 0; i < 200 && device.size() != 0; ++i) {
        const std::uint64_t offset = random() % device.size();
        compare(offset, std::min<std::uint64_t>(1 + random() % 70000, device.size() - offset));
    }
}

INSTANTIATE_TEST_SUITE_P(Images, ReaderTest, testing::ValuesIn(image_cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(Reader, RefusesWhatLiesBeyondTheEnd) {
    const TemporaryFolder folder;
    create(folder / "disk.qcow2", "compat=1.1", "1M");
    const auto image = open(folder / "disk.qcow2");
    std::vector<std::byte> buffer(512);
    EXPECT_EQ(error_of([&] { image->device().read(MiB - 511, buffer); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { image->device().read(~0ull, buffer); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { image->device().extents({1, MiB}); }).code(), ErrorCode::damaged);
}

std::uint64_t first_l2_entry(const std::string& path) {
    const auto l1_offset = peek<std::uint64_t>(path, field::l1_offset);
    return peek<std::uint64_t>(path, l1_offset) & entry_bits::offset;
}

TEST(DamagedTables, EachIsRefusedWithItsPlace) {
    struct Case {
        const char* name;
        bool in_l2;
        std::uint64_t word;
        const char* says;
    };
    const std::vector<Case> cases = {
        {"l1 reserved", false, 0x8000000000040001, "L1 entry 0 is 0x8000000000040001, with reserved bits"},
        {"l1 misaligned", false, 0x8000000000040200, "at offset 262656 does not start at a cluster"},
        {"l1 past the end", false, 0x8000ffff00000000, "lies beyond the end of the file"},
        {"l2 reserved", true, 0x8000000000050002, "reserved bits are set"},
        {"l2 misaligned", true, 0x8000000000050200, "the offset does not start at a cluster"},
        {"l2 past the end", true, 0x8000ffff00000000, "a cluster beyond the end of the file"},
        {"l2 compressed past the end", true, 0x400fffff00000000, "compressed data beyond the end of the file"},
        {"l2 compressed in the header", true, 0x4000000000000010, "compressed data within the header"},
    };
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    for (const Case& c : cases) {
        SCOPED_TRACE(c.name);
        create(path, "compat=1.1", "1M");
        qemu_io(path, {"write -q -P 1 0 128k"});
        const std::uint64_t table =
            c.in_l2 ? first_l2_entry(path) : peek<std::uint64_t>(path, field::l1_offset);
        patch(path, table, c.word);
        const Error error = error_of([&] {
            std::vector<std::byte> buffer(4096);
            open(path)->device().read(0, buffer);
        });
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_NE(std::string(error.what()).find(c.says), std::string::npos) << error.what();
        if (c.in_l2) {
            const std::string place = fmt::format("L2 entry 0 of the table at offset {}", table);
            EXPECT_NE(std::string(error.what()).find(place), std::string::npos) << error.what();
        }
        std::filesystem::remove(path);
    }
}

TEST(DamagedTables, TwoL1EntriesForOneTable) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "cluster_size=512", "1M");
    qemu_io(path, {"write -q -P 1 0 512"});
    const auto l1 = peek<std::uint64_t>(path, field::l1_offset);
    patch(path, l1 + 8, peek<std::uint64_t>(path, l1));
    const Error error = error_of([&] { open(path); });
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_NE(std::string(error.what()).find("two L1 entries name the same L2 table"), std::string::npos);
}

TEST(DamagedTables, ZeroFlagInVersion2) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "compat=0.10", "1M");
    qemu_io(path, {"write -q -P 1 0 64k"});
    const std::uint64_t entry = first_l2_entry(path);
    patch(path, entry, peek<std::uint64_t>(path, entry) | entry_bits::zero);
    const auto image = open(path);
    const Error error = error_of([&] { image->device().extents({0, MiB}); });
    EXPECT_NE(std::string(error.what()).find("a zero cluster in an image of version 2"), std::string::npos);
}

TEST(DamagedTables, CompressedDataThatIsNot) {
    for (const char* type : {"zlib", "zstd"}) {
        const TemporaryFolder folder;
        const std::string path = compressed("", std::string("compression_type=") + type).make(folder);
        const std::uint64_t offset = open(path)->metadata().entry(1).host_offset;
        for (std::uint64_t i = 0; i < 64; i += 8) {
            patch(path, offset + i, 0xdeadbeefdeadbeef);
        }
        const auto image = open(path);
        std::vector<std::byte> buffer(100);
        const Error error = error_of([&] { image->device().read(64 * KiB, buffer); });
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_NE(std::string(error.what()).find(fmt::format("at offset {} (guest offset 65536)", offset)),
                  std::string::npos)
            << error.what();
    }
}

TEST(DamagedTables, SubclusterThatIsBothAllocatedAndZero) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "extended_l2=on", "1M");
    qemu_io(path, {"write -q -P 1 0 64k"});
    patch(path, first_l2_entry(path) + 8, 0x00000001'00000001ull);
    const auto image = open(path);
    const Error error = error_of([&] { image->device().extents({0, MiB}); });
    EXPECT_NE(std::string(error.what()).find("both allocated and zero"), std::string::npos);
}

TEST(Truncated, LosesItsLastClusters) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "compat=1.1", "1M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    real_doors().files.open(path, {.write = true})->truncate(std::filesystem::file_size(path) - 128 * KiB);
    const auto image = open(path);
    std::vector<std::byte> buffer(MiB);
    EXPECT_EQ(error_of([&] { image->device().read(0, buffer); }).code(), ErrorCode::damaged);
}

TEST(MetadataTest, ForgetSeesWhatChanged) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "compat=1.1", "1M");
    const auto image = open(path);
    EXPECT_EQ(image->device().extents({0, MiB}), (std::vector<Extent>{{{0, MiB}, ExtentKind::unallocated}}));
    qemu_io(path, {"write -q -P 1 64k 64k"});
    image->metadata().forget();
    EXPECT_EQ(image->device().extents({0, MiB}),
              (std::vector<Extent>{{{0, 64 * KiB}, ExtentKind::unallocated},
                                   {{64 * KiB, 64 * KiB}, ExtentKind::data},
                                   {{128 * KiB, MiB - 128 * KiB}, ExtentKind::unallocated}}));
}

} // namespace
} // namespace disktool::qcow2::test
