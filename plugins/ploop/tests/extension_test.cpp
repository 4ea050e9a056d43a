// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_images.h"
#include "extension.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <gcrypt.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace disktool::ploop::test {

namespace {

using disktool::test::result_of;
using disktool::test::TemporaryFolder;

constexpr std::size_t cluster_size = 32768;

/// What the original wrote into a new delta of 10 MiB with clusters of 32 KiB (`snapshot -b`): 80 bytes; the
/// rest of the cluster is zeros.
constexpr unsigned char originals[] = {
    0x87, 0xea, 0xdc, 0x23, 0xef, 0x4c, 0x23, 0xab, 0xd4, 0x65, 0x8b, 0x81, 0x60, 0xd6, 0xee, 0xaa,
    0xe5, 0xe2, 0x30, 0xc1, 0x9f, 0x91, 0x15, 0xbc, 0x4a, 0xb3, 0x2c, 0x25, 0xae, 0x5f, 0x38, 0x20,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33,
    0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

std::vector<std::byte> originals_cluster() {
    std::vector<std::byte> cluster(cluster_size);
    std::memcpy(cluster.data(), originals, sizeof originals);
    return cluster;
}

const BitmapId id = *parse_bitmap_id("01234567-89ab-cdef-0123-456789ABCDEF");

class Extension : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "root.hds";
    SmallImage image;

    Extension() { image.header.in_use = closed_mark_v21; }

    /// Puts the cluster behind the data.
    void add(std::vector<std::byte> cluster) {
        image.header.extension_sector = image.clusters * 64;
        image.behind = std::move(cluster);
    }
    /// After a field of the part was changed.
    void sign() {
        gcry_check_version(nullptr);
        gcry_md_hash_buffer(GCRY_MD_MD5, image.behind.data() + 8, image.behind.data() + 24, cluster_size - 24);
    }
    template <typename Number>
    void set(std::size_t offset, Number value) {
        std::memcpy(image.behind.data() + offset, &value, sizeof value);
    }
    FormatExtension read() {
        image.write(path);
        return read_extension(*real_doors().files.open(path, {}), image.header);
    }
    std::string refusal() {
        try {
            read();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
            return error.what();
        }
        return "";
    }
};

TEST_F(Extension, TheOriginalsIsRead) {
    add(originals_cluster());

    const FormatExtension extension = read();

    ASSERT_EQ(extension.bitmaps.size(), 1u);
    EXPECT_EQ(bitmap_id_text(extension.bitmaps[0].id), "33333333-3333-3333-3333-333333333333");
    EXPECT_EQ(extension.bitmaps[0].granularity_sectors, 128u);
    EXPECT_TRUE(extension.bitmaps[0].table.empty());
    EXPECT_EQ(extension.clusters, std::vector<std::uint64_t>{6});
    EXPECT_FALSE(extension.unknown_parts);
    EXPECT_EQ(refusal(), "");
}

TEST_F(Extension, OursDiffersFromTheOriginalsInTheTableAlone) {
    std::vector<std::byte> expected = originals_cluster();
    expected[40] = std::byte{40}; // one entry more: a size of 40 bytes
    expected[76] = std::byte{1};
    add(expected);
    sign();

    EXPECT_EQ(make_extension(image.header, *parse_bitmap_id("33333333-3333-3333-3333-333333333333")),
              image.behind);
}

TEST_F(Extension, OursIsAcceptedByQemuAsTheOriginalsIsNot) {
    const std::vector<std::string> info = {"qemu-img", "info", "-f", "parallels", path};
    add(originals_cluster());
    image.write(path);
    ASSERT_NE(result_of(info).exit_status, 0) << "the oracle sees nothing";

    for (const std::uint64_t disk : {320u * 64, 64u, 300'000u * 64}) {
        for (const std::uint32_t granularity : {1u, 128u, 1u << 20}) {
            SCOPED_TRACE(std::to_string(disk) + " sectors, granularity " + std::to_string(granularity));
            image = SmallImage();
            image.entries.clear();
            image.header = new_header(disk, 64, Version::v2);
            image.header.in_use = closed_mark_v21;
            image.clusters = image.header.data_start();
            add(make_extension(image.header, id, granularity));

            const FormatExtension extension = read();

            ASSERT_EQ(extension.bitmaps.size(), 1u);
            EXPECT_EQ(extension.bitmaps[0].id, id);
            EXPECT_EQ(extension.bitmaps[0].granularity_sectors, granularity);
            const auto result = result_of(info);
            EXPECT_EQ(result.exit_status, 0) << result.errors;
        }
    }
}

TEST_F(Extension, OfADiskThatIsTooLargeForOneClusterIsRefused) {
    // 4083 entries, each of a cluster of bits, each bit of 64 KiB.
    const std::uint64_t largest = 4083ull * cluster_size * 8 * 128;
    image.header.disk_sectors = largest;
    EXPECT_EQ(bitmap_table_entries(image.header, 128), 4083u);
    add(make_extension(image.header, id));
    EXPECT_EQ(read().bitmaps[0].table.size(), 4083u);
    image.header.disk_sectors = largest + 64;
    EXPECT_THROW(make_extension(image.header, id), Error);
}

TEST_F(Extension, ClustersOfBitmapsBelongToIt) {
    add(make_extension(image.header, id, 1)); // 20480 bits: one entry
    set(80, std::uint64_t{4 * 64});
    sign();
    EXPECT_EQ(read().clusters, (std::vector<std::uint64_t>{4, 6}));
    EXPECT_EQ(read().bitmaps[0].table, std::vector<std::uint64_t>{256});
    for (const std::uint64_t bits : {0u, 1u}) {
        set(80, bits);
        sign();
        EXPECT_EQ(read().clusters, std::vector<std::uint64_t>{6});
    }
}

TEST_F(Extension, UnknownPartsAreNoticedAndSoIsTheirFlag) {
    for (const std::uint64_t flags : {0u, 1u, 2u}) {
        add(make_extension(image.header, id));
        set(88, std::uint64_t{0x1122334455667788}); // behind the bitmap's 40 bytes
        set(96, flags);
        set(104, std::uint32_t{5}); // its end is rounded up to 8
        sign();
        EXPECT_TRUE(read().unknown_parts);
        EXPECT_EQ(read().must_not_change, flags == 1);
        EXPECT_EQ(read().bitmaps.size(), 1u);
    }
}

TEST_F(Extension, IsNotBelievedWhenAnythingIsWrong) {
    struct Case {
        std::string expected;
        std::function<void()> damage;
    };
    const std::vector<Case> cases = {
        {"no format extension", [&] { set(0, std::uint64_t{1}); }},
        {"MD5", [&] { set(cluster_size - 1, std::uint8_t{1}); }},
        {"MD5", [&] { set(8, std::uint8_t(std::to_integer<unsigned>(image.behind[8]) ^ 1)); }},
        {"larger than the cluster",
         [&] {
             set(40, std::uint32_t{0xffffffff});
             sign();
         }},
        {"larger than the cluster",
         [&] {
             set(40, std::uint32_t{cluster_size - 47});
             sign();
         }},
        {"come to an end",
         [&] {
             set(40, std::uint32_t{cluster_size - 48});
             sign();
         }},
        {"come to an end",
         [&] {
             set(40, std::uint32_t{cluster_size - 48 - 23});
             sign();
         }},
        {"cut off",
         [&] {
             set(40, std::uint32_t{31});
             sign();
         }},
        {"a disk of 20481",
         [&] {
             set(48, std::uint64_t{20481});
             sign();
         }},
        {"granularity 0",
         [&] {
             set(72, std::uint32_t{0});
             sign();
         }},
        {"granularity 3",
         [&] {
             set(72, std::uint32_t{3});
             sign();
         }},
        {"table of 2",
         [&] {
             set(76, std::uint32_t{2});
             sign();
         }},
        {"table of 4294967295",
         [&] {
             set(76, std::uint32_t{0xffffffff});
             sign();
         }},
        {"sector 65",
         [&] {
             set(80, std::uint64_t{65});
             sign();
         }},
        {"sector 448",
         [&] {
             set(80, std::uint64_t{7 * 64});
             sign();
         }},
        {"sector 18446744073709551552",
         [&] {
             set(80, ~std::uint64_t{63});
             sign();
         }},
        {"used twice",
         [&] {
             set(80, std::uint64_t{6 * 64});
             sign();
         }},
        {"sector 385", [&] { ++image.header.extension_sector; }},
        {"sector 448", [&] { image.header.extension_sector = 448; }},
        {"sector 18446744073709551552", [&] { image.header.extension_sector = ~std::uint64_t{63}; }},
        {"sector 384", [&] { image.behind.pop_back(); }},
    };
    for (const Case& one : cases) {
        image.header.data_start_sectors = 64;
        add(make_extension(image.header, id));
        one.damage();
        EXPECT_NE(refusal().find(one.expected), std::string::npos) << one.expected << ": " << refusal();
    }
    add(make_extension(image.header, id));
    image.header.data_start_sectors = 7 * 64;
    EXPECT_NE(refusal().find("sector 384"), std::string::npos) << "inside the tables";
}

TEST(BitmapIdText, IsOnlyThePlainForm) {
    EXPECT_EQ(bitmap_id_text(id), "01234567-89ab-cdef-0123-456789abcdef");
    EXPECT_EQ(id[0], std::byte{0x01});
    EXPECT_EQ(id[15], std::byte{0xef});
    for (const char* wrong :
         {"", "{01234567-89ab-cdef-0123-456789abcdef}", "01234567-89ab-cdef-0123-456789abcde",
          "01234567-89ab-cdef-0123-456789abcdeg", "0123456789ab-cdef-0123-456789abcdef0-",
          "01234567-89ab-cdef-01234-56789abcdef", "01234567-89ab-cdef-0123-456789abcde/"}) {
        EXPECT_FALSE(parse_bitmap_id(wrong)) << wrong;
    }
}

} // namespace

} // namespace disktool::ploop::test
