// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/read_ahead.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

namespace disktool {

namespace {

/// Byte i of it is i / 512, and reading from `bad` on fails.
class NumberedDevice final : public BlockDevice {
  public:
    NumberedDevice(std::uint64_t size, std::uint64_t bad) : size_(size), bad_(bad) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return "numbered"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        if (offset + buffer.size() > bad_) {
            throw Error(ErrorCode::failure, "it cannot be read");
        }
        for (std::size_t i = 0; i < buffer.size(); ++i) {
            buffer[i] = static_cast<std::byte>((offset + i) / 512);
        }
    }
    std::vector<Extent> extents(Range range) override { return {{range, ExtentKind::data}}; }

  private:
    std::uint64_t size_, bad_;
};

void expect_right(const ReadAhead::Piece& piece) {
    ASSERT_EQ(piece.bytes.size(), piece.range.length);
    for (std::size_t i = 0; i < piece.bytes.size(); ++i) {
        ASSERT_EQ(piece.bytes[i], static_cast<std::byte>((piece.range.offset + i) / 512));
    }
}

TEST(ReadAhead, GivesAllOfTheRangesInPieces) {
    NumberedDevice device(1 * MiB, UINT64_MAX);
    ReadAhead ahead(device, {{512, 10'000}, {65'536, 65'536}, {200'000, 1}}, 16'384);
    std::vector<Range> pieces;
    while (const auto piece = ahead.next()) {
        expect_right(*piece);
        pieces.push_back(piece->range);
    }
    EXPECT_EQ(pieces, (std::vector<Range>{{512, 10'000},
                                          {65'536, 16'384},
                                          {81'920, 16'384},
                                          {98'304, 16'384},
                                          {114'688, 16'384},
                                          {200'000, 1}}));
    EXPECT_FALSE(ahead.next());
}

TEST(ReadAhead, GivesNothingOfNothing) {
    NumberedDevice device(1 * MiB, 0);
    ReadAhead ahead(device, {}, 4096);
    EXPECT_FALSE(ahead.next());
}

// What was read before is given out first.
TEST(ReadAhead, ThrowsWhereReadingFails) {
    NumberedDevice device(1 * MiB, 40'000);
    ReadAhead ahead(device, {{0, 1 * MiB}}, 16'384);
    for (const std::uint64_t offset : {0, 16'384}) {
        const auto piece = ahead.next();
        ASSERT_TRUE(piece);
        EXPECT_EQ(piece->range.offset, offset);
        expect_right(*piece);
    }
    EXPECT_THROW(ahead.next(), Error);
}

TEST(ReadAhead, CanBeLeftAtAnyMoment) {
    NumberedDevice device(64 * MiB, UINT64_MAX);
    for (unsigned taken = 0; taken < 8; ++taken) {
        ReadAhead ahead(device, {{0, 64 * MiB}}, 4096);
        for (unsigned i = 0; i < taken; ++i) {
            ASSERT_TRUE(ahead.next());
        }
    }
}

} // namespace

} // namespace disktool
