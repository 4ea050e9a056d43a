// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads and writes beside the threads that ask for them, and what the host's cache is told of.
#include "block/host_descriptor.h"
#include "device/direct_requests.h"
#include "device/fuse_disk.h"
#include "device/hot_regions.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <latch>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace disktool {
namespace {

constexpr std::size_t page = 4096;
constexpr std::uint64_t pages = 1024;
constexpr std::uint64_t file_size = pages * page;

struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;
Memory memory_of(std::size_t size) {
    return Memory(static_cast<std::byte*>(std::aligned_alloc(page, size)));
}

/// What page `number` of the file is full of.
std::byte filling(std::uint64_t number) {
    return static_cast<std::byte>(1 + number % 251);
}

bool right(std::span<const std::byte> data, std::uint64_t offset) {
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (data[i] != filling((offset + i) / page)) {
            return false;
        }
    }
    return true;
}

/// A file whose pages differ, on the disk and not in the cache.
class PagesTest : public testing::Test {
  protected:
    void SetUp() override {
        const std::string path = folder_ / "pages";
        cached_ = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        direct_ = Descriptor(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        if (!direct_) {
            GTEST_SKIP() << "no direct I/O on " << path;
        }
        std::vector<std::byte> content(file_size);
        for (std::size_t i = 0; i < content.size(); ++i) {
            content[i] = filling(i / page);
        }
        ASSERT_EQ(pwrite(cached_.get(), content.data(), content.size(), 0),
                  static_cast<ssize_t>(content.size()));
        ASSERT_EQ(fsync(cached_.get()), 0);
        ASSERT_EQ(posix_fadvise(cached_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    /// Without making the kernel read it, as a read that does not wait would.
    bool in_cache(std::uint64_t offset) const {
        void* const mapped =
            mmap(nullptr, page, PROT_READ, MAP_SHARED, cached_.get(), static_cast<off_t>(offset));
        unsigned char there = 0;
        EXPECT_NE(mapped, MAP_FAILED);
        EXPECT_EQ(mincore(mapped, page, &there), 0);
        munmap(mapped, page);
        return (there & 1) != 0;
    }
    BlockDevice::Place at(std::uint64_t offset) const { return {direct_.get(), cached_.get(), offset, false}; }

    test::TemporaryFolder folder_;
    Descriptor cached_, direct_;
};

class DirectRequestsTest : public PagesTest {
  protected:
    void SetUp() override {
        PagesTest::SetUp();
        if (!IsSkipped() && !DirectRequests::start([](const auto&...) {})) {
            GTEST_SKIP() << "the host has no asynchronous I/O";
        }
    }
};

TEST_F(DirectRequestsTest, EachGetsItsOwnBytes) {
    std::atomic<unsigned> good = 0, begun = 0, bad = 0;
    const auto reads =
        DirectRequests::start([&](const DirectRequests::Request& read, std::span<std::byte> data, int error) {
            const bool whole = error == 0 && data.size() == read.length && right(data, read.place.offset);
            const bool known = read.token == &good && read.queue == static_cast<int>(read.place.offset / page);
            ++(whole && known ? good : bad);
        });
    std::vector<std::thread> askers;
    for (unsigned asker = 0; asker < 4; ++asker) {
        askers.emplace_back([&, asker] {
            std::minstd_rand random(asker + 1);
            for (unsigned i = 0; i < 500; ++i) {
                const std::size_t length = (1 + random() % (DirectRequests::largest / page)) * page;
                const std::uint64_t offset = random() % (pages - length / page) * page;
                begun += reads->begin({at(offset), length, &good, static_cast<int>(offset / page)}) ? 1U : 0U;
            }
        });
    }
    for (std::thread& asker : askers) {
        asker.join();
    }
    while (good + bad < begun) {
        std::this_thread::yield();
    }
    EXPECT_EQ(bad, 0U);
    EXPECT_GE(begun, DirectRequests::most);
}

TEST_F(DirectRequestsTest, EachWritesItsOwnBytes) {
    std::atomic<unsigned> good = 0, bad = 0;
    auto requests =
        DirectRequests::start([&](const DirectRequests::Request& request, std::span<std::byte> data,
                                  int error) { ++(error == 0 && data.size() == request.length ? good : bad); });
    std::vector<std::uint64_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, std::minstd_rand(1));
    const Memory memory = memory_of(page);
    for (const std::uint64_t number : order) { // each page gets the content of its mirror image
        std::fill_n(memory.get(), page, filling(pages - 1 - number));
        while (!requests->begin({at(number * page), page, nullptr, 0, memory.get()})) {
            std::this_thread::yield();
        }
        std::fill_n(memory.get(), page, std::byte{0xff}); // it is another's by then
    }
    requests.reset();
    EXPECT_EQ(good, pages);
    EXPECT_EQ(bad, 0U);
    std::vector<std::byte> content(file_size);
    ASSERT_EQ(pread(cached_.get(), content.data(), content.size(), 0), static_cast<ssize_t>(file_size));
    for (std::uint64_t number = 0; number < pages; ++number) {
        ASSERT_EQ(content[number * page], filling(pages - 1 - number)) << number;
        ASSERT_EQ(content[number * page + page - 1], filling(pages - 1 - number)) << number;
    }
}

TEST_F(DirectRequestsTest, NoMoreThanItHasMemoryFor) {
    std::latch open_up(1);
    std::atomic<unsigned> answered = 0;
    auto reads = DirectRequests::start([&](const auto&...) {
        open_up.wait();
        ++answered;
    });
    EXPECT_FALSE(reads->begin({at(0), DirectRequests::largest + page, nullptr, 0}));
    for (unsigned i = 0; i < DirectRequests::most; ++i) {
        EXPECT_TRUE(reads->begin({at(i * page), page, nullptr, 0})) << i;
    }
    EXPECT_FALSE(reads->begin({at(0), page, nullptr, 0}));
    EXPECT_EQ(answered, 0U);
    std::thread ending([&] { reads.reset(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    open_up.count_down();
    ending.join();
    EXPECT_EQ(answered, DirectRequests::most) << "the end waits for what is under way";
}

TEST_F(DirectRequestsTest, TellsOfTheEndOfTheFileAndOfErrors) {
    struct Got {
        std::size_t length;
        int error;
    };
    std::vector<Got> got;
    auto reads = DirectRequests::start([&](const auto&, std::span<std::byte> data, int error) {
        got.push_back({data.size(), error});
    });
    EXPECT_TRUE(reads->begin({at(file_size - page), 2 * page, nullptr, 0}));
    reads.reset();
    reads = DirectRequests::start([&](const auto&, std::span<std::byte> data, int error) {
        got.push_back({data.size(), error});
    });
    // Memory, place and length are not what direct I/O wants: the host says so at once, or as an answer.
    const bool begun = reads->begin({at(100), page, nullptr, 0});
    EXPECT_FALSE(reads->begin({{-1, -1, 0, false}, page, nullptr, 0})) << "no such descriptor";
    EXPECT_TRUE(reads->begin({at(page), page, nullptr, 0})) << "it goes on";
    reads.reset();
    ASSERT_EQ(got.size(), begun ? 3U : 2U);
    EXPECT_EQ(got.front().length, page);
    EXPECT_EQ(got.front().error, 0);
    if (begun) {
        EXPECT_TRUE(std::ranges::any_of(got, [](const Got& one) { return one.error == EINVAL; }));
    }
}

using Heat = HotRegions::Heat;

TEST(HotRegions, SeveralReadsOfOneMakeItHot) {
    constexpr std::uint64_t region = HotRegions::region;
    HotRegions regions;
    for (unsigned i = 1; i < HotRegions::enough; ++i) { // by turns, in two regions and two files
        EXPECT_EQ(regions.read(5, 7 * region + i * page), Heat::cold) << i;
        EXPECT_EQ(regions.read(5, 8 * region), Heat::cold) << i;
        EXPECT_EQ(regions.read(6, 7 * region), Heat::cold) << i;
    }
    EXPECT_EQ(regions.read(5, 8 * region - 1), Heat::fetch);
    EXPECT_EQ(regions.read(6, 7 * region), Heat::fetch);
    for (unsigned i = 0; i < 1000; ++i) {
        EXPECT_EQ(regions.read(5, 7 * region), Heat::hot) << "told once";
    }
    EXPECT_EQ(regions.read(5, 8 * region), Heat::fetch);
}

TEST(HotRegions, AnotherOneGetsThePlaceOfOneThatIsReadNoMore) {
    constexpr std::uint64_t far = 4096 * HotRegions::region;
    HotRegions regions;
    for (unsigned i = 0; i < 100; ++i) {
        regions.read(5, 0);
    }
    EXPECT_EQ(regions.read(5, far), Heat::cold);
    EXPECT_EQ(regions.read(5, 0), Heat::hot) << "for one read of another";
    unsigned reads = 0;
    while (regions.read(5, far) != Heat::fetch && reads < 100) {
        ++reads;
    }
    EXPECT_LT(reads, 20U);
    EXPECT_EQ(regions.read(5, far), Heat::hot);
    EXPECT_EQ(regions.read(5, 0), Heat::cold);
}

TEST(HotRegions, OneThatIsNotInTheCacheAnyMoreIsFetchedAgain) {
    HotRegions regions;
    EXPECT_FALSE(regions.missed(5, 0)) << "it was never read";
    for (unsigned i = 0; i < 100; ++i) {
        regions.read(5, 0);
    }
    EXPECT_FALSE(regions.missed(6, 0)) << "another file";
    EXPECT_TRUE(regions.missed(5, 0));
    unsigned fetched = 0;
    for (unsigned i = 0; i < 100; ++i) {
        EXPECT_EQ(regions.read(5, 0), Heat::hot);
        fetched += regions.missed(5, 0) ? 1 : 0;
    }
    EXPECT_GE(fetched, 20U);
    EXPECT_LE(fetched, 34U) << "not for each read: a host that is short of memory does not keep it";
}

TEST(HotRegions, ReadsScatteredOverALargeDiskMakeNone) {
    HotRegions regions;
    std::mt19937_64 random(3);
    unsigned hot = 0;
    for (unsigned i = 0; i < 200'000; ++i) {
        hot += regions.read(5, random() % (std::uint64_t{1} << 40)) != Heat::cold ? 1U : 0U; // 1 TiB
    }
    EXPECT_LT(hot, 20U);
}

TEST_F(PagesTest, AFetchedRegionComesIntoTheCache) {
    ASSERT_FALSE(in_cache(2 * HotRegions::region));
    fetch_region(cached_.get(), 2 * HotRegions::region + 5 * page);
    const auto there = [&] {
        return in_cache(2 * HotRegions::region) && in_cache(3 * HotRegions::region - page);
    };
    for (int i = 0; i < 1000 && !there(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_TRUE(there());
    EXPECT_FALSE(in_cache(HotRegions::region)) << "another one";
    fetch_region(-1, 0); // nothing to be told
}

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
} // namespace disktool
