// SPDX-License-Identifier: LGPL-2.1-or-later
#include "../header.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace disktool::ploop {
namespace {

std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) {
        text += fmt::format("{:02x}", std::to_integer<int>(byte));
    }
    return text;
}

TEST(PloopHeader, TheOriginalsFreshOneOf10GiB) {
    const Header header = new_header(10ull << 21, 2048, Version::v2);
    EXPECT_EQ(hex(header_bytes(header)), "576974686f7546726553706163457874"
                                         "02000000"
                                         "10000000"
                                         "00a00000"
                                         "00080000"
                                         "00280000"
                                         "0000400100000000"
                                         "00000000"
                                         "00080000"
                                         "01000000"
                                         "0000000000000000");
    EXPECT_EQ(parse_header(header_bytes(header), "x"), header);
}

TEST(PloopHeader, FieldsLieWhereTheyAreRead) {
    Header header;
    header.version = Version::v1;
    header.type = 0x01020304;
    header.heads = 5;
    header.cylinders = 6;
    header.cluster_sectors = 128;
    header.entries = 0x708090a0;
    header.disk_sectors = 0xfedcba98;
    header.in_use = in_use_mark;
    header.data_start_sectors = 256;
    header.flags = 2;
    header.extension_sector = 0x1122334455667788;
    const auto bytes = header_bytes(header);
    EXPECT_EQ(hex(bytes), "576974686f7574467265655370616365"
                          "04030201"
                          "05000000"
                          "06000000"
                          "80000000"
                          "a0908070"
                          "98badcfe00000000"
                          "596e6f74"
                          "00010000"
                          "02000000"
                          "8877665544332211");
    EXPECT_EQ(parse_header(bytes, "x"), header);
}

TEST(PloopHeader, Version1UsesHalfOfTheSize) {
    auto bytes = header_bytes(new_header(20480, 64, Version::v1));
    bytes[40] = std::byte{1};
    EXPECT_EQ(parse_header(bytes, "x").disk_sectors, 20480u);
    bytes = header_bytes(new_header(20480, 64, Version::v2));
    bytes[40] = std::byte{1};
    EXPECT_EQ(parse_header(bytes, "x").disk_sectors, 20480u + (1ull << 32));
}

TEST(PloopHeader, WrongSignature) {
    auto bytes = header_bytes(new_header(20480, 64, Version::v2));
    bytes[15] ^= std::byte{1};
    try {
        parse_header(bytes, "DIR/root.hds");
        FAIL() << "it was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_STREQ(error.what(), "Wrong signature in image DIR/root.hds");
    }
}

TEST(PloopHeader, ChecksNameTheFault) {
    const auto complaint = [](const std::function<void(Header&)>& change) -> std::string {
        Header header = new_header(20480, 64, Version::v2);
        change(header);
        try {
            check_header(header, "DIR/root.hds");
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
            return error.what();
        }
        return "";
    };
    using testing::HasSubstr;
    using testing::StartsWith;
    EXPECT_EQ(complaint([](Header&) {}), "");
    EXPECT_THAT(complaint([](Header& h) { h.type = 3; }), StartsWith("Wrong type in image DIR/root.hds"));
    for (const std::uint32_t size : {0u, 1u, 32u, 63u, 65u, 96u, 131073u, 262144u, 0x80000000u}) {
        EXPECT_THAT(complaint([&](Header& h) { h.cluster_sectors = size; }),
                    StartsWith(fmt::format("Wrong cluster size {} in image DIR/root.hds", size)));
    }
    for (const std::uint32_t start : {0u, 63u, 65u}) {
        EXPECT_THAT(complaint([&](Header& h) { h.data_start_sectors = start; }),
                    StartsWith("Wrong first block offset in image DIR/root.hds"));
    }
    for (const std::uint32_t entries : {0u, 5u, 319u, 321u, 0xffffffffu}) {
        EXPECT_THAT(complaint([&](Header& h) { h.entries = entries; }), HasSubstr("ploop check"));
    }
    EXPECT_THAT(complaint([](Header& h) { h.disk_sectors = UINT64_MAX; }), HasSubstr("ploop check"));
    // 8176 entries fill the first cluster, one more needs the second.
    EXPECT_EQ(complaint([](Header& h) { h.disk_sectors = 8176 * 64, h.entries = 8176; }), "");
    EXPECT_THAT(complaint([](Header& h) { h.disk_sectors = 8177 * 64, h.entries = 8177; }),
                HasSubstr("does not fit"));
    // The last cluster of the disk may be a part of one; the data may begin later than it must.
    EXPECT_EQ(complaint([](Header& h) { h.disk_sectors = 20480 - 1; }), "");
    EXPECT_EQ(complaint([](Header& h) { h.data_start_sectors = 640; }), "");
}

TEST(PloopHeader, Geometry) {
    const auto geometry = [](std::uint64_t sectors) {
        const Geometry g = geometry_of(sectors);
        return std::tuple(g.cylinders, g.heads, g.sectors);
    };
    using T = std::tuple<std::uint64_t, std::uint32_t, std::uint32_t>;
    EXPECT_EQ(geometry(20480), T(40, 16, 32));     // as in the golden images
    EXPECT_EQ(geometry(1228800), T(1219, 16, 63)); // ok-v2-grown
    EXPECT_EQ(geometry(20971520), T(40960, 16, 32));
    EXPECT_EQ(geometry(1032192), T(1024, 16, 63));
    EXPECT_EQ(geometry(1032193), T(1024, 16, 63));
    EXPECT_EQ(geometry(16777216), T(32768, 16, 32));
    EXPECT_EQ(geometry(16 * 4), T(1, 2, 32));
    EXPECT_EQ(geometry(7), T(7, 1, 1));
}

TEST(PloopHeader, SizesOfTables) {
    EXPECT_EQ(table_clusters(0, 64), 1u);
    EXPECT_EQ(table_clusters(8176, 64), 1u);
    EXPECT_EQ(table_clusters(8177, 64), 2u);
    EXPECT_EQ(table_clusters(1ull << 30, 2048), 4097u) << "1 PiB, where 32 bits are too few";
    EXPECT_EQ(entries_of(20032, 64), 313u);
    EXPECT_EQ(entries_of(20033, 64), 314u);
    EXPECT_EQ(entries_of(UINT64_MAX, 64), (UINT64_MAX >> 6) + 1);
    EXPECT_EQ(largest_disk(Version::v1, 64), 0xffffffc0u);
    EXPECT_EQ(largest_disk(Version::v2, 2048), 0xffffffffull * 2048);
}

TEST(PloopHeader, EntriesAreSectorsOrClusters) {
    const Header one = new_header(20480, 64, Version::v1);
    EXPECT_EQ(entry_offset(one, 192), 192u * 512);
    EXPECT_EQ(offset_entry(one, 192 * 512), 192u);
    EXPECT_EQ(entry_offset(one, 0xffffffff), 0xffffffffull * 512);
    const Header two = new_header(20480, 64, Version::v2);
    EXPECT_EQ(entry_offset(two, 3), 3u * 32768);
    EXPECT_EQ(offset_entry(two, 3 * 32768), 3u);
    EXPECT_EQ(entry_offset(two, 0xffffffff), 0xffffffffull * 32768);
}

} // namespace
} // namespace disktool::ploop
