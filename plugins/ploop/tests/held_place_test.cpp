// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a chain's bytes lie, for who reads them by himself.
#include "block/forwarding_file.h"
#include "made_delta.h"
#include "tracking_file.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

namespace disktool::ploop::engine_test {
namespace {

constexpr std::uint64_t page = 4096;

class PloopHeldPlace : public testing::Test {
  protected:
    std::unique_ptr<File> file(const char* name, HostCache cache) const {
        return real_doors().files.open(folder_ / name, {.write = true, .cache = cache});
    }
    /// Of so many clusters, with these filled; to be read past the cache.
    std::unique_ptr<Delta> made(const char* name, std::uint64_t clusters,
                                const std::vector<std::uint64_t>& filled, unsigned seed,
                                HostCache cache = HostCache::small_reads) const {
        make_file(real_doors().files, folder_ / name, small_delta(clusters));
        auto delta = Delta::open(file(name, cache), Access::write);
        delta->begin();
        for (const std::uint64_t where : filled) {
            delta->allocate(where, pattern(cluster, seed + static_cast<unsigned>(where)));
        }
        delta->end();
        return delta;
    }
    void SetUp() override {
        disktool::test::write_file(folder_ / "x", std::string(2 * page, 'x'));
        if (file("x", HostCache::none)->direct().descriptor < 0) {
            GTEST_SKIP() << "no direct I/O on " << std::string(folder_ / "");
        }
    }
    disktool::test::TemporaryFolder folder_;
};

Bytes read_there(const BlockDevice::Place& place, std::size_t length) {
    Bytes bytes(length);
    const ssize_t got = pread(place.cached, bytes.data(), length, static_cast<off_t>(place.offset));
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
}

TEST_F(PloopHeldPlace, IsWhereReadFindsTheBytes) {
    // 0, 1 and 2 one behind the other in the base; 2 hidden by the top; 4 behind the end of the middle.
    const auto disk =
        chain(made("base", 6, {0, 1, 2, 4}, 1), made("middle", 4, {3}, 20), made("top", 6, {2}, 40));
    const Bytes content = content_of(*disk);
    for (const Range range :
         {Range{0, page}, Range{cluster - page, 2 * page}, Range{512, 512}, Range{0, 2 * cluster},
          Range{2 * cluster + page, page}, Range{3 * cluster, cluster}, Range{4 * cluster, page}}) {
        const auto place = disk->hold(range);
        ASSERT_TRUE(place) << range.offset;
        EXPECT_EQ(read_there(*place, range.length),
                  Bytes(content.begin() + static_cast<std::ptrdiff_t>(range.offset),
                        content.begin() + static_cast<std::ptrdiff_t>(range.end())));
        EXPECT_FALSE(place->zeros_behind);
        disk->release();
    }
    for (const Range range : {Range{5 * cluster, page},            // nowhere
                              Range{2 * cluster - page, 2 * page}, // in two files
                              Range{2 * cluster, cluster + page},  // the same
                              Range{100, 512}, Range{512, 100}}) { // not for direct I/O
        EXPECT_FALSE(disk->hold(range)) << range.offset;
    }
    EXPECT_THROW(disk->hold({6 * cluster - page, 2 * page}), Error);
    ChainDevice::Pause pause(*disk); // waits for ever if one of them is held still
}

TEST_F(PloopHeldPlace, ARawFileMayEndBefore) {
    const Bytes bytes = pattern(cluster + page, 3);
    store(folder_ / "raw", bytes);
    const auto disk =
        chain(Delta::open_raw(file("raw", HostCache::small_reads), Access::read, 64), made("top", 3, {1}, 5));
    const auto place = disk->hold({page, page});
    ASSERT_TRUE(place);
    EXPECT_TRUE(place->zeros_behind);
    EXPECT_EQ(place->offset, page);
    disk->release();
    EXPECT_FALSE(disk->hold({2 * cluster, page})) << "the disk of that file ends before";
}

TEST_F(PloopHeldPlace, OnlyWhatTheFileWasOpenedFor) {
    const auto cached = chain(made("a", 2, {0}, 1, HostCache::all));
    EXPECT_FALSE(cached->hold({0, page})) << "the host's cache is wanted";
    const auto past = chain(made("b", 2, {0}, 1, HostCache::none));
    const auto place = past->hold({0, page});
    ASSERT_TRUE(place);
    EXPECT_EQ(place->cached, -1) << "the host's cache is not wanted";
    EXPECT_GE(place->direct, 0);
    past->release();
}

ssize_t write_there(const BlockDevice::Place& place, std::byte filling) {
    const std::unique_ptr<std::byte, decltype(&std::free)> memory(
        static_cast<std::byte*>(std::aligned_alloc(page, page)), std::free);
    std::fill_n(memory.get(), page, filling);
    return pwrite(place.direct, memory.get(), page, static_cast<off_t>(place.offset));
}

/// How often it was synced.
class CountingFile final : public ForwardingFile {
  public:
    CountingFile(std::unique_ptr<File> file, int& syncs) : ForwardingFile(std::move(file)), syncs_(syncs) {}
    void sync_data() override {
        ++syncs_;
        file_->sync_data();
    }

  private:
    int& syncs_;
};

TEST_F(PloopHeldPlace, IsForWritesWhereTheTopHasIt) {
    made("top", 4, {1}, 20)->file().sync();
    auto tracked = std::make_unique<TrackingFile>(file("top", HostCache::small_reads), cluster);
    TrackingFile& tracker = *tracked;
    int syncs = 0;
    const auto disk =
        chain(made("base", 4, {0, 1}, 1),
              Delta::open(std::make_unique<CountingFile>(std::move(tracked), syncs), Access::write));
    disk->begin();
    tracker.start();
    EXPECT_FALSE(disk->hold_to_write({0, page})) << "only below";
    EXPECT_FALSE(disk->hold_to_write({2 * cluster - page, 2 * page})) << "a part of it is nowhere";
    EXPECT_FALSE(disk->hold_to_write({cluster + 1, page})) << "not for direct I/O";
    EXPECT_THROW(disk->hold_to_write({4 * cluster, page}), Error);
    Bytes content = content_of(*disk);
    disk->flush();
    EXPECT_TRUE(tracker.take().empty());
    syncs = 0;
    const auto place = disk->hold_to_write({cluster + page, page});
    ASSERT_TRUE(place);
    ASSERT_EQ(write_there(*place, std::byte{77}), static_cast<ssize_t>(page));
    EXPECT_TRUE(tracker.take().empty()) << "it is not over";
    disk->written(*place, page);
    std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(cluster + page), page, std::byte{77});
    EXPECT_EQ(content_of(*disk), content);
    const auto marks = tracker.take();
    ASSERT_EQ(marks.size(), 1U);
    EXPECT_TRUE(marks[0].offset <= place->offset && place->offset + page <= marks[0].end());
    EXPECT_EQ(syncs, 0);
    disk->flush();
    EXPECT_GE(syncs, 1) << "a flush has it on the disk";
    syncs = 0;
    disk->flush();
    EXPECT_EQ(syncs, 0) << "nothing is to be flushed";
    const auto unused = disk->hold_to_write({cluster, page});
    ASSERT_TRUE(unused);
    disk->written(*unused, 0);
    EXPECT_TRUE(tracker.take().empty());
    ChainDevice::Pause{*disk}; // waits for ever if one is held still
    disk->end();
}

TEST_F(PloopHeldPlace, IsNotForWritesThatMayNotBe) {
    const auto unbegun = chain(made("a", 2, {0}, 1, HostCache::small_reads));
    EXPECT_FALSE(unbegun->hold_to_write({0, page})) << "before begin()";
    const auto cached = chain(made("b", 2, {0}, 1, HostCache::small_requests));
    cached->begin();
    EXPECT_FALSE(cached->hold_to_write({0, page})) << "small writes are to go by way of the cache";
    cached->end();
    made("c", 2, {0}, 1);
    const auto readable = chain(
        Delta::open(real_doors().files.open(folder_ / "c", {.cache = HostCache::small_reads}), Access::read));
    EXPECT_FALSE(readable->hold_to_write({0, page}));
    EXPECT_TRUE(readable->hold({0, page}));
    readable->release();
}

TEST_F(PloopHeldPlace, ChangesOfTheChainWaitForIt) {
    const auto disk = chain(made("base", 4, {0, 1}, 1), made("top", 4, {1, 2}, 2));
    disk->begin();
    const auto first = disk->hold({0, page}), second = disk->hold({cluster, page});
    ASSERT_TRUE(first && second);
    std::atomic<bool> freed = false;
    std::thread guest([&] {
        disk->discard({2 * cluster, cluster});
        freed = true;
    });
    disk->release();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(freed) << "a place may be in use";
    std::thread([&] { disk->release(); }).join(); // another thread than that which held it
    guest.join();
    EXPECT_TRUE(freed);
    disk->end();
}

} // namespace
} // namespace disktool::ploop::engine_test
