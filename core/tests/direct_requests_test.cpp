// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads and writes beside the threads that ask for them.
#include "pages.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace disktool::pages_test {
namespace {

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

} // namespace
} // namespace disktool::pages_test
