// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/temporary_folder.h"

#include <disktool/devices.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <random>

namespace disktool {
namespace {

using test::MemoryDevice;

std::vector<std::byte> pattern(std::size_t length, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> data(length);
    for (std::byte& byte : data)
        byte = static_cast<std::byte>(random());
    return data;
}

std::vector<std::byte> read_from(BlockDevice& device, std::uint64_t offset, std::size_t length) {
    std::vector<std::byte> data(length, std::byte{0xEE});
    device.read(offset, data);
    return data;
}

ErrorCode code_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::failure;
}

TEST(Window, ShowsItsPartAndNothingElse) {
    MemoryDevice disk(1 * MiB);
    disk.write(0, pattern(1 * MiB, 1));
    Window window(disk, {1000, 5000}, "disk partition 1");
    EXPECT_EQ(window.size(), 5000u);
    EXPECT_EQ(window.name(), "disk partition 1");
    EXPECT_EQ(read_from(window, 0, 5000), read_from(disk, 1000, 5000));
    EXPECT_EQ(code_of([&] { read_from(window, 4999, 2); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { read_from(window, std::numeric_limits<std::uint64_t>::max(), 2); }),
              ErrorCode::damaged);

    const auto before = read_from(disk, 0, 1 * MiB);
    const auto fresh = pattern(100, 2);
    window.write(4900, fresh);
    EXPECT_EQ(read_from(disk, 5900, 100), fresh);
    window.zero({0, 10});
    EXPECT_EQ(read_from(disk, 1000, 10), std::vector<std::byte>(10));
    EXPECT_EQ(read_from(disk, 0, 1000), std::vector(before.begin(), before.begin() + 1000));
    EXPECT_EQ(read_from(disk, 6000, 1000), std::vector(before.begin() + 6000, before.begin() + 7000));
    EXPECT_EQ(code_of([&] { window.write(4901, fresh); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { window.zero({0, 5001}); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { window.discard({5000, 1}); }), ErrorCode::damaged);
    window.flush();
    EXPECT_EQ(disk.flushes(), 1u);
}

TEST(Window, ExtentsAreItsOwn) {
    MemoryDevice disk(1 * MiB);
    disk.write(128 * KiB, pattern(64 * KiB, 1));
    Window window(disk, {100 * KiB, 200 * KiB}, "part");
    const std::vector<Extent> wanted = {{{0, 28 * KiB}, ExtentKind::unallocated},
                                        {{28 * KiB, 64 * KiB}, ExtentKind::data},
                                        {{92 * KiB, 108 * KiB}, ExtentKind::unallocated}};
    EXPECT_EQ(window.extents({0, 200 * KiB}), wanted);
    EXPECT_EQ(code_of([&] { window.extents({1, 200 * KiB}); }), ErrorCode::damaged);
}

TEST(Window, RefusesAPartBeyondTheEnd) {
    MemoryDevice disk(1 * MiB);
    EXPECT_EQ(code_of([&] { Window(disk, {1 * MiB - 1, 2}, "p"); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { Window(disk, {2 * MiB, 0}, "p"); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] {
                  Window(disk, {1, std::numeric_limits<std::uint64_t>::max()}, "p");
              }),
              ErrorCode::damaged);
    EXPECT_NO_THROW(Window(disk, {1 * MiB, 0}, "p"));
}

TEST(Window, IsReadOnlyWhereItsParentIs) {
    MemoryDevice disk(1 * MiB);
    disk.set_writable(false);
    Window window(disk, {0, 1 * MiB}, "p");
    EXPECT_FALSE(window.writable());
    EXPECT_EQ(code_of([&] { window.write(0, pattern(1, 1)); }), ErrorCode::unsupported);
    EXPECT_EQ(code_of([&] { window.zero({0, 1}); }), ErrorCode::unsupported);
    EXPECT_EQ(code_of([&] { window.discard({0, 1}); }), ErrorCode::unsupported);
    EXPECT_EQ(code_of([&] { window.flush(); }), ErrorCode::unsupported);
}

TEST(CachedDevice, AgreesWithItsParentWhateverIsDone) {
    // The disk's end is in the middle of a block, and the cache holds few blocks.
    MemoryDevice plain(300'001), parent(300'001);
    CachedDevice cached(parent, 4096, 10 * 4096);
    std::mt19937 random(1);
    for (int round = 0; round < 5000; ++round) {
        const std::uint64_t offset = random() % plain.size();
        const std::uint64_t length = random() % std::min<std::uint64_t>(plain.size() - offset + 1, 20'000);
        switch (random() % 6) {
        case 0: {
            const auto data = pattern(length, static_cast<std::uint32_t>(random()));
            plain.write(offset, data);
            cached.write(offset, data);
            break;
        }
        case 1:
            plain.zero({offset, length});
            cached.zero({offset, length});
            break;
        case 2:
            plain.discard({offset, length});
            cached.discard({offset, length});
            break;
        default:
            ASSERT_EQ(read_from(cached, offset, length), read_from(plain, offset, length)) << "round " << round;
        }
    }
    EXPECT_EQ(read_from(parent, 0, parent.size()), read_from(plain, 0, plain.size()));
}

TEST(CachedDevice, AsksOnceForABlock) {
    MemoryDevice disk(1 * MiB);
    CachedDevice cached(disk, 4096, 4 * 4096);
    for (std::uint64_t offset = 0; offset < 4096; offset += 64)
        read_from(cached, offset, 64);
    EXPECT_EQ(disk.reads(), 1u);
    EXPECT_EQ(disk.bytes_read(), 4096u);
    // Blocks 1 to 4: block 0 is the one that was used least recently.
    for (std::uint64_t block = 1; block <= 4; ++block)
        read_from(cached, block * 4096, 64);
    EXPECT_EQ(disk.reads(), 5u);
    read_from(cached, 1 * 4096, 64);
    EXPECT_EQ(disk.reads(), 5u);
    read_from(cached, 0, 64);
    EXPECT_EQ(disk.reads(), 6u);
    // Block 1 was used again, so 2 had to go.
    read_from(cached, 1 * 4096, 64);
    EXPECT_EQ(disk.reads(), 6u);
    read_from(cached, 2 * 4096, 64);
    EXPECT_EQ(disk.reads(), 7u);
}

TEST(CachedDevice, LetsLargeReadsPassBy) {
    MemoryDevice disk(1 * MiB);
    CachedDevice cached(disk, 4096, 16 * 4096);
    read_from(cached, 0, 4 * 4096); // a quarter: block by block
    EXPECT_EQ(disk.reads(), 4u);
    read_from(cached, 0, 4 * 4096 + 1);
    EXPECT_EQ(disk.reads(), 5u);
    EXPECT_EQ(disk.bytes_read(), 4u * 4096 + 4 * 4096 + 1);
}

TEST(CachedDevice, KeepsNothingOfAReadThatFailed) {
    MemoryDevice disk(1 * MiB);
    const auto data = pattern(4096, 1);
    disk.write(8192, data);
    disk.fail_at(9000);
    CachedDevice cached(disk, 4096, 16 * 4096);
    EXPECT_THROW(read_from(cached, 8192, 100), SystemError);
    disk.heal();
    EXPECT_EQ(read_from(cached, 8192, 4096), data);
}

TEST(CachedDevice, RefusesWhatLiesBeyondTheEnd) {
    MemoryDevice disk(10'000);
    CachedDevice cached(disk, 4096);
    EXPECT_EQ(code_of([&] { read_from(cached, 9'999, 2); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { cached.discard({9'999, 2}); }), ErrorCode::damaged);
    EXPECT_EQ(read_from(cached, 10'000, 0).size(), 0u);
}

/// What a device is when its author overrides only what must be.
class ReadOnlyDevice : public BlockDevice {
  public:
    std::uint64_t size() const override { return 100; }
    std::string name() const override { return "plain"; }
    void read(std::uint64_t, std::span<std::byte>) override {}
};

TEST(BlockDevice, DefaultsAreThoseOfAReadOnlyDisk) {
    ReadOnlyDevice device;
    EXPECT_FALSE(device.writable());
    EXPECT_FALSE(device.concurrent());
    EXPECT_EQ(device.extents({10, 20}), (std::vector<Extent>{{{10, 20}, ExtentKind::data}}));
    EXPECT_TRUE(device.extents({100, 0}).empty());
    EXPECT_EQ(code_of([&] { device.extents({90, 11}); }), ErrorCode::damaged);
    EXPECT_EQ(code_of([&] { device.write(0, {}); }), ErrorCode::unsupported);
    EXPECT_EQ(code_of([&] { device.flush(); }), ErrorCode::unsupported);
    try {
        device.zero({0, 1});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reason(), Reason::capability_missing);
        EXPECT_THAT(error.what(), testing::HasSubstr("plain"));
    }
}

TEST(FileDevice, ShowsAFileWithItsHoles) {
    const test::TemporaryFolder folder;
    const std::string path = folder / "disk.raw";
    const auto data = pattern(64 * KiB, 7);
    {
        const auto file = real_doors().files.open(path, {.write = true, .create = true});
        file->truncate(1 * MiB);
        file->write(256 * KiB, data);
    }
    test::FileDevice device(path, Access::write);
    EXPECT_EQ(device.size(), 1 * MiB);
    const std::vector<Extent> wanted = {{{0, 256 * KiB}, ExtentKind::unallocated},
                                        {{256 * KiB, 64 * KiB}, ExtentKind::data},
                                        {{320 * KiB, 704 * KiB}, ExtentKind::unallocated}};
    EXPECT_EQ(device.extents({0, 1 * MiB}), wanted);
    EXPECT_EQ(read_from(device, 256 * KiB, 64 * KiB), data);
    device.discard({256 * KiB, 64 * KiB});
    device.flush();
    EXPECT_EQ(device.extents({0, 1 * MiB}), (std::vector<Extent>{{{0, 1 * MiB}, ExtentKind::unallocated}}));
    test::FileDevice reader(path);
    EXPECT_EQ(code_of([&] { reader.write(0, data); }), ErrorCode::unsupported);
}

} // namespace
} // namespace disktool
