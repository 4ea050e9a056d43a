// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <limits>

namespace disktool {
namespace {

TEST(SizeText, HasAtMostOneDecimal) {
    EXPECT_EQ(size_text(0), "0 bytes");
    EXPECT_EQ(size_text(1), "1 byte");
    EXPECT_EQ(size_text(17), "17 bytes");
    EXPECT_EQ(size_text(1023), "1023 bytes");
    EXPECT_EQ(size_text(1 * KiB), "1 KiB");
    EXPECT_EQ(size_text(640 * KiB), "640 KiB");
    EXPECT_EQ(size_text(1536 * MiB), "1.5 GiB");
    EXPECT_EQ(size_text(10 * TiB), "10 TiB");
    EXPECT_EQ(size_text(1 * GiB + 1), "1 GiB");
    EXPECT_EQ(size_text(1 * GiB + 51 * MiB), "1 GiB");   // 1.0498: rounded down
    EXPECT_EQ(size_text(1 * GiB + 52 * MiB), "1.1 GiB"); // 1.0508: rounded up
}

TEST(SizeText, RoundsUpIntoTheNextUnit) {
    EXPECT_EQ(size_text(1 * MiB - 1), "1 MiB");
    EXPECT_EQ(size_text(2 * MiB - 1), "2 MiB");
    EXPECT_EQ(size_text(std::numeric_limits<std::uint64_t>::max()), "16 EiB");
}

TEST(ExactSizeText, GivesTheBytesToo) {
    EXPECT_EQ(exact_size_text(2 * GiB), "2 GiB (2147483648 bytes)");
    EXPECT_EQ(exact_size_text(1 * MiB - 1), "1 MiB (1048575 bytes)");
    EXPECT_EQ(exact_size_text(512), "512 bytes");
}

TEST(Rounding, KeepsToUnits) {
    EXPECT_EQ(round_up(0, 512), 0u);
    EXPECT_EQ(round_up(1, 512), 512u);
    EXPECT_EQ(round_up(512, 512), 512u);
    EXPECT_EQ(round_down(1023, 512), 512u);
    EXPECT_EQ(divide_up(1025, 512), 3u);
    EXPECT_EQ(divide_up(std::numeric_limits<std::uint64_t>::max(), 2), 1ull << 63);
}

} // namespace
} // namespace disktool
