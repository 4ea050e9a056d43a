// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk served to the kernel, and a loop device on it.
#include "block/host_descriptor.h"
#include "device/fuse_disk.h"
#include "device/loop_device.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace disktool {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t disk_size = 64 * mib;

/// One that bears many threads, can grow, and can fail.
class SharedDevice final : public BlockDevice {
  public:
    explicit SharedDevice(std::uint64_t size) : content_(size), size_(size) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return "shared"; }
    bool writable() const override { return writable_; }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        const std::scoped_lock lock(mutex_);
        fail();
        ++reads;
        std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), buffer.size(), buffer.begin());
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        const std::scoped_lock lock(mutex_);
        fail();
        aligned_ = aligned_ && reinterpret_cast<std::uintptr_t>(data.data()) % 4096 == 0;
        std::ranges::copy(data, content_.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    void discard(Range range) override {
        discarded.push_back(range);
        zero(range);
    }
    void zero(Range range) override {
        const std::scoped_lock lock(mutex_);
        std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length, std::byte{0});
    }
    void flush() override { ++flushes; }
    void grow(std::uint64_t size) {
        const std::scoped_lock lock(mutex_);
        content_.resize(size);
        size_ = size;
    }
    void set_read_only() { writable_ = false; }
    bool all_writes_aligned() const { return aligned_; }

    std::atomic<ErrorCode> failing{ErrorCode::interrupted}; ///< interrupted: it does not fail
    std::atomic<int> reads{0}, flushes{0};
    std::vector<Range> discarded;

  private:
    void fail() const {
        if (failing != ErrorCode::interrupted) {
            throw Error(failing, "the test wants it so");
        }
    }
    std::mutex mutex_;
    std::vector<std::byte> content_;
    std::atomic<std::uint64_t> size_;
    bool writable_ = true;
    bool aligned_ = true;
};

struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};

class Page {
  public:
    explicit Page(std::size_t size, int value = 0)
        : size_(size), memory_(static_cast<std::byte*>(std::aligned_alloc(4096, size))) {
        std::fill_n(memory_.get(), size, static_cast<std::byte>(value));
    }
    std::byte* data() { return memory_.get(); }
    std::size_t size() const { return size_; }
    bool all(int value) const {
        return std::all_of(memory_.get(), memory_.get() + size_,
                           [&](std::byte byte) { return byte == static_cast<std::byte>(value); });
    }

  private:
    std::size_t size_;
    std::unique_ptr<std::byte, FreeMemory> memory_;
};

class FuseDiskTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) {
            GTEST_SKIP() << "not root, or no /dev/fuse";
        }
    }
    SharedDevice device_{disk_size};
    FuseDiskOptions options_{.threads = 4, .discard_unit = mib, .shown_name = "shown"};
};

TEST_F(FuseDiskTest, WhatIsWrittenIsOnTheDeviceOnceTheWriteIsDone) {
    const auto disk = FuseDisk::serve(device_, options_);
    const Descriptor file(disk->open_file(true));
    Page page(mib, 7);
    ASSERT_EQ(pwrite(file.get(), page.data(), mib, 5 * mib), static_cast<ssize_t>(mib));
    Page back(mib);
    device_.read(5 * mib, {back.data(), mib});
    EXPECT_TRUE(back.all(7));
    Page read(mib);
    ASSERT_EQ(pread(file.get(), read.data(), mib, 5 * mib), static_cast<ssize_t>(mib));
    EXPECT_TRUE(read.all(7));
    EXPECT_TRUE(device_.all_writes_aligned()) << "so that the image can take it by direct I/O";
    EXPECT_EQ(disk->counters().written_bytes, mib);
}

TEST_F(FuseDiskTest, NoNameSpaceSeesTheMount) {
    const auto disk = FuseDisk::serve(device_, options_);
    Descriptor mounts(open("/proc/self/mountinfo", O_RDONLY));
    std::string text(1 << 20, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(mounts.get(), text.data(), text.size()))));
    EXPECT_EQ(text.find("fuse.disktool"), std::string::npos) << text;
}

TEST_F(FuseDiskTest, AFlushComesThrough) {
    const auto disk = FuseDisk::serve(device_, options_);
    const Descriptor file(disk->open_file(true));
    ASSERT_EQ(fsync(file.get()), 0);
    EXPECT_EQ(device_.flushes, 1);
}

TEST_F(FuseDiskTest, WholeUnitsAreDiscardedAndPartsOfThemZeroed) {
    const auto disk = FuseDisk::serve(device_, options_);
    const Descriptor file(disk->open_file(true));
    Page page(4 * mib, 9);
    ASSERT_EQ(pwrite(file.get(), page.data(), 4 * mib, 0), static_cast<ssize_t>(4 * mib));
    ASSERT_EQ(fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 3 * mib), 0);
    ASSERT_EQ(device_.discarded.size(), 1U);
    EXPECT_EQ(device_.discarded[0].offset, mib);
    EXPECT_EQ(device_.discarded[0].length, 2 * mib);
    Page back(4 * mib);
    ASSERT_EQ(pread(file.get(), back.data(), 4 * mib, 0), static_cast<ssize_t>(4 * mib));
    EXPECT_EQ(back.data()[4095], std::byte{9});
    EXPECT_EQ(back.data()[4096], std::byte{0});
    EXPECT_EQ(back.data()[3 * mib + 4095], std::byte{0});
    EXPECT_EQ(back.data()[3 * mib + 4096], std::byte{9});
}

TEST_F(FuseDiskTest, ErrorsReachTheGuestAndTheFirstIsKept) {
    const auto disk = FuseDisk::serve(device_, options_);
    const Descriptor file(disk->open_file(true));
    Page page(4096, 1);
    device_.failing = ErrorCode::no_space;
    EXPECT_EQ(pwrite(file.get(), page.data(), 4096, 0), -1);
    EXPECT_EQ(errno, ENOSPC);
    device_.failing = ErrorCode::damaged;
    EXPECT_EQ(pread(file.get(), page.data(), 4096, 0), -1);
    EXPECT_EQ(errno, EIO);
    device_.failing = ErrorCode::interrupted;
    EXPECT_EQ(pwrite(file.get(), page.data(), 4096, 0), 4096) << "it goes on";
    ASSERT_TRUE(disk->first_error());
    EXPECT_EQ(disk->first_error()->code(), ErrorCode::no_space);
    EXPECT_EQ(disk->counters().errors, 2U);
}

TEST_F(FuseDiskTest, AReadOnlyDeviceIsNotOpenedForWriting) {
    device_.set_read_only();
    const auto disk = FuseDisk::serve(device_, options_);
    EXPECT_THROW(disk->open_file(true), SystemError);
    const Descriptor file(disk->open_file(false));
    EXPECT_GE(file.get(), 0);
}

TEST_F(FuseDiskTest, TheEndComesAlsoWhereTheFileIsStillOpen) {
    auto disk = FuseDisk::serve(device_, options_);
    const Descriptor file(disk->open_file(true));
    disk.reset();
    Page page(4096, 1);
    EXPECT_EQ(pwrite(file.get(), page.data(), 4096, 0), -1);
}

TEST_F(FuseDiskTest, ManyAtOnceDoNotMixUpTheirData) {
    const auto disk = FuseDisk::serve(device_, options_);
    constexpr int jobs = 8;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int job = 0; job < jobs; ++job) {
        threads.emplace_back([&, job] {
            const Descriptor file(disk->open_file(true));
            std::minstd_rand random(static_cast<unsigned>(job + 1));
            for (int round = 0; round < 60; ++round) {
                const std::size_t size = 4096 * (1 + random() % 512);
                const auto offset = static_cast<off_t>(static_cast<std::uint64_t>(job) * 8 * mib +
                                                       4096 * (random() % ((8 * mib - size) / 4096)));
                const int value = static_cast<int>(random() % 255) + 1;
                Page out(size, value), in(size);
                if (pwrite(file.get(), out.data(), size, offset) != static_cast<ssize_t>(size) ||
                    pread(file.get(), in.data(), size, offset) != static_cast<ssize_t>(size) ||
                    !in.all(value)) {
                    ++wrong;
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
}

class LoopDeviceTest : public FuseDiskTest {
  protected:
    void SetUp() override {
        FuseDiskTest::SetUp();
        if (access("/dev/loop-control", R_OK | W_OK) != 0) {
            GTEST_SKIP() << "no loop devices";
        }
    }
};

TEST_F(LoopDeviceTest, ABlockDeviceOnAServedDisk) {
    const auto disk = FuseDisk::serve(device_, options_);
    Descriptor file(disk->open_file(true));
    const auto loop = LoopDevice::attach(file.get(), {.shown_name = "a name"});
    file.close();
    EXPECT_EQ(loop->size(), disk_size);
    Page page(mib, 3);
    const Descriptor device(open(loop->node().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    ASSERT_EQ(pwrite(device.get(), page.data(), mib, 0), static_cast<ssize_t>(mib));
    ASSERT_EQ(fsync(device.get()), 0);
    EXPECT_GE(device_.flushes, 1);
    Page back(mib);
    device_.read(0, {back.data(), mib});
    EXPECT_TRUE(back.all(3));

    device_.grow(disk_size + 16 * mib);
    disk->follow_size();
    loop->follow_size();
    EXPECT_EQ(loop->size(), disk_size + 16 * mib);
    ASSERT_EQ(pwrite(device.get(), page.data(), mib, disk_size + 15 * mib), static_cast<ssize_t>(mib));
    ASSERT_EQ(fsync(device.get()), 0);
    device_.read(disk_size + 15 * mib, {back.data(), mib});
    EXPECT_TRUE(back.all(3));
    EXPECT_TRUE(loop->set_queue("read_ahead_kb", 256));
    EXPECT_FALSE(loop->set_queue("no_such_setting", 1));
    EXPECT_TRUE(LoopDevice::find(loop->node()));
    EXPECT_FALSE(loop->detach()) << "we have it open";
}

TEST_F(LoopDeviceTest, ManyTakersGetDevicesOfTheirOwn) {
    const auto disk = FuseDisk::serve(device_, options_);
    std::vector<std::unique_ptr<LoopDevice>> loops(8);
    std::vector<std::thread> threads;
    for (auto& loop : loops) {
        threads.emplace_back([&] {
            const Descriptor file(disk->open_file(true));
            loop = LoopDevice::attach(file.get(), {.shown_name = "shared"});
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    std::vector<int> numbers;
    for (const auto& loop : loops) {
        ASSERT_TRUE(loop);
        numbers.push_back(loop->number());
    }
    std::ranges::sort(numbers);
    EXPECT_EQ(std::ranges::adjacent_find(numbers), numbers.end());
    for (const auto& loop : loops) {
        loop->detach();
    }
}

/// The process that serves is killed: the device answers with errors at once, and can be detached.
TEST_F(LoopDeviceTest, AKilledServerHangsNobody) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        try {
            const auto disk = FuseDisk::serve(device_, options_);
            const Descriptor file(disk->open_file(true));
            const auto loop = LoopDevice::attach(file.get(), {.shown_name = "doomed"});
            const int number = loop->number();
            (void)!write(ends[1], &number, sizeof number);
            pause();
        } catch (const std::exception&) {
        }
        _exit(1);
    }
    int number = -1;
    ASSERT_EQ(read(ends[0], &number, sizeof number), static_cast<ssize_t>(sizeof number));
    const std::string node = "/dev/loop" + std::to_string(number);
    Page page(4096, 5);
    {
        // Left in the kernel's cache of the device.
        const Descriptor cached(open(node.c_str(), O_RDWR | O_CLOEXEC));
        EXPECT_EQ(pwrite(cached.get(), page.data(), 4096, mib), 4096);
    }
    const Descriptor device(open(node.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    EXPECT_EQ(pwrite(device.get(), page.data(), 4096, 0), 4096);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_EQ(pwrite(device.get(), page.data(), 4096, 4096), -1);
    auto left = LoopDevice::find(node);
    ASSERT_TRUE(left);
    left->detach(); // false as long as `device` is open
    close(ends[0]);
    close(ends[1]);
}

} // namespace
} // namespace disktool
