// SPDX-License-Identifier: LGPL-2.1-or-later
// Headers that a hostile hand made: each refused with a code and a sentence that says where.
#include "test_images.h"

#include <gmock/gmock.h>

#include <cstring>

namespace disktool::qcow2::test {
namespace {

using testing::HasSubstr;

/// One image a test, with a fault put in.
class HeaderTest : public testing::Test {
  protected:
    HeaderTest() { create(path_, "compat=1.1", "1G"); }

    Header parse() { return parse_header(*real_doors().files.open(path_, {})); }
    Error refused() {
        return error_of([&] { parse(); });
    }
    void expect_refused(ErrorCode code, const std::string& says) {
        const Error error = refused();
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(says));
        EXPECT_THAT(error.what(), HasSubstr(path_)) << "names the file";
    }
    void truncate(std::uint64_t size) { real_doors().files.open(path_, {.write = true})->truncate(size); }
    /// Puts an extension at `at`, with an end mark behind it; returns where the next may lie.
    std::uint64_t put_extension(std::uint64_t at, std::uint32_t type, const std::string& data) {
        patch(path_, at, type);
        patch(path_, at + 4, static_cast<std::uint32_t>(data.size()));
        real_doors().files.open(path_, {.write = true})->write(at + 8, std::as_bytes(std::span(data)));
        const std::uint64_t next = round_up(at + 8 + data.size(), 8);
        patch(path_, next, std::uint64_t{0});
        return next;
    }

    const TemporaryFolder folder_;
    const std::string path_ = folder_ / "disk.qcow2";
};

TEST_F(HeaderTest, OfQemuIsRead) {
    const Header header = parse();
    EXPECT_EQ(header.version, 3u);
    EXPECT_EQ(header.virtual_size, GiB);
    EXPECT_EQ(header.cluster_size(), 64 * KiB);
    EXPECT_EQ(header.l1_size, 2u);
    EXPECT_EQ(header.refcount_bits, 16u);
    EXPECT_EQ(header.refcount_table_clusters, 1u);
    EXPECT_EQ(header.header_length, 112u);
    EXPECT_EQ(header.l1_coverage(), 512 * MiB);
    EXPECT_EQ(header.backing_name, "");
    EXPECT_EQ(header.feature_names.front().name, "dirty bit");
}

TEST_F(HeaderTest, EmptyFile) {
    truncate(0);
    expect_refused(ErrorCode::unsupported, "is not a qcow2 image");
}

TEST_F(HeaderTest, AnotherMagic) {
    patch(path_, field::magic, std::uint32_t{0x514649fa});
    expect_refused(ErrorCode::unsupported, "is not a qcow2 image");
}

TEST_F(HeaderTest, TruncatedWithinTheHeader) {
    truncate(100);
    expect_refused(ErrorCode::damaged, "the file ends at 100, within the header");
    truncate(20);
    expect_refused(ErrorCode::damaged, "the file ends at 20, within the header");
}

TEST_F(HeaderTest, TruncatedBehindTheHeader) {
    truncate(64 * KiB);
    expect_refused(ErrorCode::damaged, "the L1 table (16 bytes at offset 196608) lies beyond the end");
}

TEST_F(HeaderTest, Versions) {
    for (const std::uint32_t version : {0u, 1u, 4u, 0xffffffffu}) {
        patch(path_, field::version, version);
        expect_refused(ErrorCode::unsupported, fmt::format("version {}; only versions 2 and 3", version));
    }
}

TEST_F(HeaderTest, ClusterBits) {
    for (const std::uint32_t bits : {0u, 8u, 22u, 64u, 0xffffffffu}) {
        patch(path_, field::cluster_bits, bits);
        expect_refused(ErrorCode::damaged, fmt::format("cluster_bits at offset 20 is {}", bits));
    }
}

TEST_F(HeaderTest, VirtualSize) {
    for (const std::uint64_t size : {1ull << 63, ~0ull, (2ull << 50) + 512 * MiB}) {
        patch(path_, field::virtual_size, size);
        expect_refused(ErrorCode::damaged,
                       fmt::format("the virtual size at offset 24 is {}", size / 512 * 512));
    }
}

TEST_F(HeaderTest, L1TooSmallForTheSize) {
    patch(path_, field::virtual_size, std::uint64_t{GiB + 512});
    expect_refused(ErrorCode::damaged, "l1_size at offset 36 is 2 entries; a disk of 1073742336 bytes needs 3");
}

TEST_F(HeaderTest, L1TooLarge) {
    patch(path_, field::l1_size, std::uint32_t{(32 << 20) / 8 + 1});
    expect_refused(ErrorCode::damaged, "l1_size at offset 36 is 4194305");
}

TEST_F(HeaderTest, TablesMisalignedOutsideOrInTheHeader) {
    struct Table {
        std::uint64_t field;
        const char* what;
    };
    patch(path_, field::snapshot_count, std::uint32_t{1});
    patch(path_, field::snapshot_offset, std::uint64_t{128 * KiB});
    for (const Table& table :
         {Table{field::l1_offset, "the L1 table"}, Table{field::refcount_table_offset, "the refcount table"},
          Table{field::snapshot_offset, "the snapshot table"}}) {
        const auto good = peek<std::uint64_t>(path_, table.field);
        for (const std::uint64_t bad : {good + 512, good + 1, ~std::uint64_t{0}}) {
            patch(path_, table.field, bad);
            expect_refused(ErrorCode::damaged,
                           fmt::format("{} at offset {} does not start at a cluster", table.what, bad));
        }
        patch(path_, table.field, std::uint64_t{0});
        expect_refused(ErrorCode::damaged, fmt::format("{} at offset 0 overlaps the header", table.what));
        for (const std::uint64_t bad : {std::uint64_t{1} << 40, ~std::uint64_t{0xffff}}) {
            patch(path_, table.field, bad);
            expect_refused(ErrorCode::damaged, fmt::format("at offset {}) lies beyond the end", bad));
        }
        patch(path_, table.field, good);
    }
}

TEST_F(HeaderTest, TablesThatOverlapEachOther) {
    patch(path_, field::l1_offset, peek<std::uint64_t>(path_, field::refcount_table_offset));
    expect_refused(ErrorCode::damaged, "overlaps the");
}

TEST_F(HeaderTest, RefcountTable) {
    for (const std::uint32_t clusters : {0u, 129u, 0xffffffffu}) {
        patch(path_, field::refcount_table_clusters, clusters);
        expect_refused(ErrorCode::damaged, fmt::format("refcount_table_clusters at offset 56 is {}", clusters));
    }
}

TEST_F(HeaderTest, RefcountOrder) {
    patch(path_, field::refcount_order, std::uint32_t{7});
    expect_refused(ErrorCode::damaged, "refcount_order at offset 96 is 7");
}

TEST_F(HeaderTest, HeaderLength) {
    for (const std::uint32_t length : {0u, 96u, 105u, 65544u, 0xfffffff8u}) {
        patch(path_, field::header_length, length);
        expect_refused(ErrorCode::damaged, fmt::format("header_length at offset 100 is {}", length));
    }
}

TEST_F(HeaderTest, SnapshotCount) {
    patch(path_, field::snapshot_count, std::uint32_t{65537});
    expect_refused(ErrorCode::damaged, "the number of snapshots at offset 60 is 65537");
}

TEST_F(HeaderTest, UnknownIncompatibleBitWithoutAName) {
    patch(path_, field::incompatible_features, std::uint64_t{1} << 63);
    expect_refused(ErrorCode::unsupported, "one without a name (bit 63 at offset 72)");
    EXPECT_EQ(refused().reason(), Reason::feature_not_supported);
}

TEST_F(HeaderTest, UnknownIncompatibleBitByItsName) {
    std::string name("\0\x0d"
                     "bathroom light\x1b",
                     17);
    name.resize(48);
    put_extension(112, 0x6803f857, name);
    patch(path_, field::incompatible_features, std::uint64_t{1} << 13);
    expect_refused(ErrorCode::unsupported, "\"bathroom light?\" (bit 13 at offset 72)");
}

TEST_F(HeaderTest, CompressionTypeAndItsBit) {
    patch(path_, field::compression_type, std::uint8_t{1});
    expect_refused(ErrorCode::damaged, "the compression type 1 at offset 104 contradicts");
    patch(path_, field::incompatible_features, incompatible::compression);
    EXPECT_EQ(parse().compression_type, CompressionType::zstd);
    patch(path_, field::compression_type, std::uint8_t{0});
    expect_refused(ErrorCode::damaged, "the compression type 0 at offset 104 contradicts");
    patch(path_, field::compression_type, std::uint8_t{2});
    expect_refused(ErrorCode::unsupported, "unknown compression type 2 (offset 104)");
}

TEST_F(HeaderTest, EncryptionMethod) {
    patch(path_, field::crypt_method, std::uint32_t{3});
    expect_refused(ErrorCode::unsupported, "unknown encryption method 3 (offset 32)");
}

TEST_F(HeaderTest, SubclustersInSmallClusters) {
    std::filesystem::remove(path_);
    create(path_, "cluster_size=8k", "1M");
    patch(path_, field::incompatible_features, incompatible::extended_l2);
    expect_refused(ErrorCode::damaged, "cluster_bits at offset 20 is 13; these need at least 14");
}

TEST_F(HeaderTest, BackingName) {
    struct Case {
        std::uint64_t offset;
        std::uint32_t length;
    };
    for (const Case& c : {Case{112, 1024}, Case{65536, 1}, Case{64, 10}, Case{~0ull, 10}, Case{65530, 20}}) {
        patch(path_, field::backing_offset, c.offset);
        patch(path_, field::backing_length, c.length);
        expect_refused(ErrorCode::damaged,
                       fmt::format("the backing file ({} bytes at offset {})", c.length, c.offset));
    }
    patch(path_, field::backing_offset, std::uint64_t{4096});
    patch(path_, field::backing_length, std::uint32_t{8});
    patch(path_, 4096, 0x61626300'64656667ull);
    expect_refused(ErrorCode::damaged, "the name of the backing file holds a NUL byte");
}

TEST_F(HeaderTest, ExtensionThatDoesNotEnd) {
    patch(path_, 112, std::uint32_t{0x12345678});
    patch(path_, 116, std::uint32_t{0xfffffff0});
    expect_refused(ErrorCode::damaged,
                   "the header extension 0x12345678 at offset 112 is 4294967280 bytes long");
}

TEST_F(HeaderTest, ExtensionsAreListedAndUnknownOnesLeftAlone) {
    put_extension(put_extension(112, 0x12345678, "hello"), 0xe2792aca, "raw");
    const Header header = parse();
    ASSERT_EQ(header.extensions.size(), 2u);
    EXPECT_EQ(header.extensions[0].type, 0x12345678u);
    EXPECT_EQ(header.extensions[0].offset, 120u);
    EXPECT_EQ(header.extensions[0].length, 5u);
    EXPECT_EQ(header.backing_format, "raw");
}

TEST_F(HeaderTest, BitmapDirectory) {
    const auto extension = [&](std::uint32_t count, std::uint64_t length, std::uint64_t offset) {
        std::string data(24, '\0');
        const auto bytes = std::as_writable_bytes(std::span(data));
        store_big_endian(bytes, 0, count);
        store_big_endian(bytes, 8, length);
        store_big_endian(bytes, 16, offset);
        put_extension(112, 0x23852875, data);
    };
    extension(1, 32, 12345);
    EXPECT_FALSE(parse().bitmaps) << "without its autoclear bit it is not to be believed";
    patch(path_, field::autoclear_features, autoclear::bitmaps);
    expect_refused(ErrorCode::damaged, "the bitmap directory at offset 12345 does not start at a cluster");
    extension(65536, 32, 65536);
    expect_refused(ErrorCode::damaged, "65536 bitmaps");
    extension(1, ~0ull, 65536);
    expect_refused(ErrorCode::damaged, "directory of 18446744073709551615 bytes");
    put_extension(112, 0x23852875, "short");
    expect_refused(ErrorCode::damaged, "the bitmap extension of the header has 5 bytes");
}

TEST_F(HeaderTest, OfVersion2HasNoFeatureBits) {
    std::filesystem::remove(path_);
    create(path_, "compat=0.10", "1G");
    const Header header = parse();
    EXPECT_EQ(header.version, 2u);
    EXPECT_EQ(header.header_length, 72u);
    EXPECT_EQ(header.refcount_bits, 16u);
    EXPECT_EQ(header.incompatible_features, 0u);
}

} // namespace
} // namespace disktool::qcow2::test
