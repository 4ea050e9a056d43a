// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a chain's bytes lie, for who reads them by himself.
#include "made_delta.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
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
