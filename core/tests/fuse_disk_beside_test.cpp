// SPDX-License-Identifier: LGPL-2.1-or-later
// Small requests of a FuseDisk that go beside its device.
#include "device/fuse_disk.h"
#include "device/hot_regions.h"
#include "pages.h"

#include <disktool/error.h>

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace disktool::pages_test {
namespace {

/// The file as a disk that tells where it lies.
class FileDevice final : public BlockDevice {
  public:
    FileDevice(int direct, int cached) : direct_(direct), cached_(cached) {}
    std::uint64_t size() const override { return file_size; }
    std::string name() const override { return "file"; }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        ++reads;
        ASSERT_EQ(pread(cached_, buffer.data(), buffer.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(buffer.size()));
    }
    std::optional<Place> hold(Range range) override {
        if (refusing) {
            throw Error(ErrorCode::damaged, "the test wants it so");
        }
        ++held;
        return Place{direct_, known ? cached_ : -1, range.offset + shift, zeros};
    }
    void release() noexcept override { --held; }
    bool writable() const override { return true; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        ++writes;
        ASSERT_EQ(pwrite(cached_, data.data(), data.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(data.size()));
    }
    std::optional<Place> hold_to_write(Range range) override {
        if (refusing) {
            throw Error(ErrorCode::no_space, "the test wants it so");
        }
        ++held;
        return Place{target < 0 ? direct_ : target, -1, range.offset + write_shift, false, 7};
    }
    void written(const Place& place, std::uint64_t length) noexcept override {
        told += place.image == 7 ? length : 0;
        --held;
    }

    std::atomic<int> reads{0}, held{0}, writes{0};
    std::atomic<std::uint64_t> told{0}; ///< bytes that were written beside it
    int target = -1;                    ///< another file to write to
    bool refusing = false, zeros = false, known = true;
    std::uint64_t shift = 0, write_shift = 0; ///< so many bytes too far

  private:
    int direct_, cached_;
};

class HeldReadTest : public DirectRequestsTest {
  protected:
    void SetUp() override {
        DirectRequestsTest::SetUp();
        if (!IsSkipped() && (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0)) {
            GTEST_SKIP() << "not root, or no /dev/fuse";
        }
        device_ = std::make_unique<FileDevice>(direct_.get(), cached_.get());
    }
    ssize_t read(int file, std::uint64_t offset, std::size_t length = page) {
        return pread(file, memory_.get(), length, static_cast<off_t>(offset));
    }
    std::span<const std::byte> memory() const { return {memory_.get(), page}; }

    std::unique_ptr<FileDevice> device_;
    Memory memory_ = memory_of(1 << 20);
};

TEST_F(HeldReadTest, SmallReadsGoBesideTheDevice) {
    device_->known = false; // no cache, so each by itself
    const auto disk = FuseDisk::serve(*device_, {.threads = 4, .discard_unit = 0, .shown_name = "shown"});
    std::atomic<int> wrong = 0;
    std::vector<std::thread> guests;
    for (unsigned guest = 0; guest < 8; ++guest) {
        guests.emplace_back([&, guest] {
            const Descriptor file(disk->open_file(false));
            const Memory memory = memory_of(DirectRequests::largest);
            std::minstd_rand random(guest + 1);
            for (unsigned i = 0; i < 200; ++i) {
                const std::size_t length = (1 + random() % (DirectRequests::largest / page)) * page;
                const std::uint64_t offset = random() % (pages - length / page) * page;
                const ssize_t got = pread(file.get(), memory.get(), length, static_cast<off_t>(offset));
                wrong += got != static_cast<ssize_t>(length) || !right({memory.get(), length}, offset) ? 1 : 0;
            }
        });
    }
    for (std::thread& guest : guests) {
        guest.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(device_->reads, 0);
    EXPECT_EQ(device_->held, 0);
    EXPECT_EQ(disk->counters().reads, 1600U);
    const Descriptor file(disk->open_file(false));
    EXPECT_EQ(read(file.get(), 0, 2 * DirectRequests::largest),
              static_cast<ssize_t>(2 * DirectRequests::largest));
    EXPECT_EQ(device_->reads, 1) << "a larger one does not";
}

TEST_F(HeldReadTest, AHotRegionIsReadFromTheCache) {
    const auto disk = FuseDisk::serve(*device_, {.threads = 2, .discard_unit = 0, .shown_name = "shown"});
    const Descriptor file(disk->open_file(false));
    for (unsigned i = 0; i < HotRegions::enough; ++i) {
        EXPECT_EQ(device_->reads, 0) << i;
        EXPECT_FALSE(in_cache((i + 1) * 9 * page)) << "a cold read leaves nothing in the cache";
        ASSERT_EQ(read(file.get(), i * 9 * page), static_cast<ssize_t>(page));
        EXPECT_TRUE(right(memory(), i * 9 * page));
    }
    EXPECT_EQ(device_->reads, 1) << "by way of the cache, like the rest";
    for (int i = 0; i < 1000 && !in_cache(200 * page); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ASSERT_EQ(read(file.get(), 200 * page), static_cast<ssize_t>(page));
    EXPECT_TRUE(right(memory(), 200 * page));
    EXPECT_EQ(device_->reads, 1) << "from the cache, beside the device";
    EXPECT_FALSE(in_cache(HotRegions::region)) << "another region";
    // What has left the cache since comes into it again.
    ASSERT_EQ(posix_fadvise(cached_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    ASSERT_FALSE(in_cache(100 * page));
    ASSERT_EQ(read(file.get(), 100 * page), static_cast<ssize_t>(page));
    EXPECT_TRUE(right(memory(), 100 * page));
    EXPECT_EQ(device_->reads, 2);
    EXPECT_TRUE(in_cache(100 * page));
    EXPECT_EQ(device_->held, 0);
}

TEST_F(HeldReadTest, ErrorsReachTheGuest) {
    const auto disk = FuseDisk::serve(*device_, {.threads = 2, .discard_unit = 0, .shown_name = "shown"});
    const Descriptor file(disk->open_file(false));
    device_->shift = file_size - page; // the second page lies behind the file's end
    EXPECT_EQ(read(file.get(), page), -1);
    EXPECT_EQ(errno, EIO);
    ASSERT_TRUE(disk->first_error());
    EXPECT_NE(std::string(disk->first_error()->what()).find("ends before offset"), std::string::npos);
    device_->zeros = true;
    ASSERT_EQ(read(file.get(), 0, 2 * page), static_cast<ssize_t>(2 * page));
    EXPECT_EQ(memory_.get()[page - 1], filling(pages - 1));
    EXPECT_TRUE(std::all_of(memory_.get() + page, memory_.get() + 2 * page,
                            [](std::byte byte) { return byte == std::byte{0}; }));
    device_->refusing = true;
    EXPECT_EQ(read(file.get(), 0), -1);
    device_->refusing = false;
    device_->shift = 0;
    EXPECT_EQ(read(file.get(), 0), static_cast<ssize_t>(page)) << "it goes on";
    EXPECT_TRUE(right(memory(), 0));
    EXPECT_EQ(disk->counters().errors, 2U);
    EXPECT_EQ(device_->held, 0);
    EXPECT_EQ(device_->reads, 0);
}

TEST_F(HeldReadTest, SmallWritesGoBesideTheDevice) {
    const auto disk = FuseDisk::serve(*device_, {.threads = 4, .discard_unit = 0, .shown_name = "shown"});
    std::atomic<int> wrong = 0;
    std::vector<std::thread> guests;
    for (std::uint64_t guest = 0; guest < 8; ++guest) {
        guests.emplace_back([&, guest] {
            const Descriptor file(disk->open_file(true));
            const Memory memory = memory_of(page);
            for (std::uint64_t number = guest; number < pages; number += 8) {
                std::fill_n(memory.get(), page, filling(pages - 1 - number));
                const auto offset = static_cast<off_t>(number * page);
                wrong += pwrite(file.get(), memory.get(), page, offset) != page ? 1 : 0;
            }
        });
    }
    for (std::thread& guest : guests) {
        guest.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(device_->writes, 0);
    EXPECT_EQ(device_->held, 0);
    EXPECT_EQ(device_->told, file_size);
    EXPECT_EQ(disk->counters().written_bytes, file_size);
    for (std::uint64_t number = 0; number < pages; ++number) {
        ASSERT_EQ(pread(cached_.get(), memory_.get(), page, static_cast<off_t>(number * page)),
                  static_cast<ssize_t>(page));
        ASSERT_EQ(memory_.get()[page - 1], filling(pages - 1 - number)) << number;
    }
    const Descriptor file(disk->open_file(true));
    ASSERT_EQ(pwrite(file.get(), memory_.get(), 2 * DirectRequests::largest, 0),
              static_cast<ssize_t>(2 * DirectRequests::largest));
    EXPECT_EQ(device_->writes, 1) << "a larger one does not";
}

TEST_F(HeldReadTest, ErrorsOfWritesReachTheGuest) {
    const auto disk = FuseDisk::serve(*device_, {.threads = 2, .discard_unit = 0, .shown_name = "shown"});
    const Descriptor file(disk->open_file(true));
    const auto error_of_write = [&] {
        return pwrite(file.get(), memory_.get(), page, page) == static_cast<ssize_t>(page) ? 0 : errno;
    };
    const Descriptor unwritable(open((folder_ / "pages").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    device_->target = unwritable.get(); // refused before it is under way
    EXPECT_EQ(error_of_write(), 0) << "by way of the device";
    EXPECT_EQ(device_->writes, 1);
    EXPECT_EQ(device_->told, 0U) << "nothing was written beside it";
    device_->refusing = true;
    EXPECT_EQ(error_of_write(), ENOSPC);
    device_->refusing = false;
    device_->target = -1;
    EXPECT_EQ(error_of_write(), 0) << "it goes on";
    EXPECT_EQ(device_->told, page);
    EXPECT_EQ(disk->counters().errors, 1U);
    EXPECT_EQ(device_->held, 0);
}

TEST_F(HeldReadTest, TheRestOfAShortWriteIsWrittenOrItsErrorTold) {
    // The host takes only so much at a time: a file may not grow over the limit.
    struct Limit {
        rlimit before{};
        Limit() {
            getrlimit(RLIMIT_FSIZE, &before);
            signal(SIGXFSZ, SIG_IGN);
            rlimit limit = before;
            limit.rlim_cur = file_size + page;
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        ~Limit() { setrlimit(RLIMIT_FSIZE, &before); }
    };
    const auto disk = FuseDisk::serve(*device_, {.threads = 2, .discard_unit = 0, .shown_name = "shown"});
    const Descriptor file(disk->open_file(true));
    const std::uint64_t last = file_size - page;
    device_->write_shift = page; // its last page lies behind the file's end
    ASSERT_EQ(pwrite(file.get(), memory_.get(), page, static_cast<off_t>(last)), static_cast<ssize_t>(page));
    const Limit limit;
    device_->write_shift = 2 * page;
    EXPECT_EQ(pwrite(file.get(), memory_.get(), 2 * page, static_cast<off_t>(last - page)), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(device_->held, 0);
}

TEST_F(HeldReadTest, TheEndComesWhileTheyAreUnderWay) {
    device_->known = false;
    for (int round = 0; round < 20; ++round) {
        auto disk = FuseDisk::serve(*device_, {.threads = 4, .discard_unit = 0, .shown_name = "shown"});
        std::vector<std::thread> guests;
        std::atomic<int> wrong = 0, got = 0;
        for (unsigned guest = 0; guest < 4; ++guest) {
            guests.emplace_back([&, guest, file = Descriptor(disk->open_file(false))] {
                const Memory memory = memory_of(page);
                for (std::uint64_t offset = guest * page;; offset = (offset + 7 * page) % file_size) {
                    if (pread(file.get(), memory.get(), page, static_cast<off_t>(offset)) < 0) {
                        break;
                    }
                    ++got;
                    wrong += right({memory.get(), page}, offset) ? 0 : 1;
                }
            });
        }
        while (got < 20) {
            std::this_thread::yield();
        }
        disk.reset();
        EXPECT_EQ(device_->held, 0);
        for (std::thread& guest : guests) {
            guest.join();
        }
        EXPECT_EQ(wrong, 0);
    }
}

} // namespace
} // namespace disktool::pages_test
