// SPDX-License-Identifier: LGPL-2.1-or-later
// Several deltas as one disk.
#include "made_delta.h"

#include <atomic>
#include <thread>

namespace disktool::ploop::engine_test {
namespace {

/// Of so many clusters, with pattern(cluster, seed) in those that are named.
HeapFile::Content made(std::uint64_t clusters, const std::vector<std::uint64_t>& filled, unsigned seed,
                       Version version = Version::v2) {
    const auto content = made_content(small_delta(clusters, version));
    const auto delta = opened(content);
    delta->begin();
    for (const std::uint64_t where : filled) {
        delta->allocate(where, pattern(cluster, seed));
    }
    delta->end();
    return content;
}

std::unique_ptr<Delta> raw(const HeapFile::Content& content, Access access = Access::read) {
    return Delta::open_raw(std::make_unique<HeapFile>(content), access, 64);
}

/// The disk as a list of seeds, one a cluster; 0 for zeros; -1 for anything else.
std::vector<int> seeds(BlockDevice& device) {
    std::vector<int> result;
    const Bytes content = content_of(device);
    for (std::uint64_t at = 0; at < content.size(); at += cluster) {
        const auto part = std::span(content).subspan(at).first(std::min(cluster, content.size() - at));
        int found = all_zero(part) ? 0 : -1;
        for (unsigned seed = 1; seed < 10 && found == -1; ++seed) {
            const Bytes wanted = pattern(part.size(), seed);
            found = std::ranges::equal(part, wanted) ? static_cast<int>(seed) : -1;
        }
        result.push_back(found);
    }
    return result;
}

TEST(PloopChain, TheTopHidesWhatLiesBelow) {
    const auto base = made(6, {0, 1, 2, 3}, 1, Version::v1);
    const auto middle = made(6, {1, 2}, 2);
    const auto top = made(6, {2, 5}, 3);
    const auto disk =
        chain(opened(base, Access::read), opened(middle, Access::read), opened(top, Access::read));
    EXPECT_EQ(disk->size(), 6 * cluster);
    EXPECT_FALSE(disk->writable());
    EXPECT_EQ(seeds(*disk), (std::vector<int>{1, 2, 3, 1, 0, 3}));
    EXPECT_EQ(disk->holder(0), 0u);
    EXPECT_EQ(disk->holder(1), 1u);
    EXPECT_EQ(disk->holder(2), 2u);
    EXPECT_EQ(disk->holder(4), std::nullopt);
    EXPECT_EQ(disk->extents({100, 6 * cluster - 200}),
              (std::vector<Extent>{{{100, 4 * cluster - 100}, ExtentKind::data},
                                   {{4 * cluster, cluster}, ExtentKind::unallocated},
                                   {{5 * cluster, cluster - 100}, ExtentKind::data}}));
    EXPECT_THROW(disk->read(6 * cluster - 1, std::span(*std::make_unique<std::array<std::byte, 2>>())), Error);
    const Bytes data(512);
    EXPECT_THROW(disk->write(0, data), Error);
    EXPECT_THROW(disk->discard({0, 512}), Error);
}

TEST(PloopChain, DeltasOfOtherSizes) {
    const auto longer = made(9, {0, 7, 8}, 1);
    const auto shorter = made(3, {1, 2}, 2);
    const auto top = made(8, {5}, 3);
    const auto disk =
        chain(opened(longer, Access::read), opened(shorter, Access::read), opened(top, Access::read));
    EXPECT_EQ(seeds(*disk), (std::vector<int>{1, 2, 2, 0, 0, 3, 0, 1}));
}

TEST(PloopChain, ARawBaseThatEndsWithinACluster) {
    const auto base = std::make_shared<Bytes>(pattern(2 * cluster + 1024, 1));
    base->resize(2 * cluster + 1024 + 100, std::byte{0xee}); // not a sector, so not of the disk
    const auto top = made(5, {0}, 2);
    const auto disk = chain(raw(base), opened(top));
    Bytes wanted = pattern(cluster, 2);
    wanted.insert(wanted.end(), base->begin() + cluster, base->begin() + 2 * cluster + 1024);
    wanted.resize(5 * cluster);
    EXPECT_EQ(content_of(*disk), wanted);
    // And what is copied up from there.
    disk->begin();
    disk->write(2 * cluster + 20000, pattern(10, 3));
    const Bytes ten = pattern(10, 3);
    std::ranges::copy(ten, wanted.begin() + 2 * cluster + 20000);
    EXPECT_EQ(content_of(*disk), wanted);
    disk->end();
    EXPECT_EQ(disk->top().allocated_clusters(), 2u);
}

TEST(PloopChain, ADiskThatEndsWithinACluster) {
    const auto content = made(3, {2}, 1);
    Header header = parse_header(*content, "x");
    header.disk_sectors -= 10;
    std::ranges::copy(header_bytes(header), content->begin());
    const std::uint64_t size = 3 * cluster - 5120;
    const auto disk = chain(opened(content));
    EXPECT_EQ(disk->size(), size);
    EXPECT_EQ(disk->extents({0, size}),
              (std::vector<Extent>{{{0, 2 * cluster}, ExtentKind::unallocated},
                                   {{2 * cluster, cluster - 5120}, ExtentKind::data}}));
    disk->begin();
    disk->write(size - 100, pattern(100, 2));
    EXPECT_THROW(disk->write(size - 99, pattern(100, 2)), Error);
    Bytes read(100);
    disk->read(size - 100, read);
    EXPECT_EQ(read, pattern(100, 2));
    disk->discard({2 * cluster, cluster - 5120}); // the whole of it, though not a whole cluster
    EXPECT_EQ(disk->top().allocated_clusters(), 0u);
    disk->write(size - 100, pattern(100, 2));
    disk->end();
    const disktool::test::TemporaryFolder folder;
    store(folder / "a", *content);
    EXPECT_EQ(content_by_qemu(folder / "a"), content_of(*disk));
    // A longer disk on top of it sees zeros behind its end.
    (*content)[content->size() - 1] = std::byte{0xee};
    const auto top = made(4, {}, 0);
    const auto longer = chain(opened(content, Access::read), opened(top, Access::read));
    Bytes wanted = content_of(*disk);
    wanted.resize(4 * cluster);
    EXPECT_EQ(content_of(*longer), wanted);
}

TEST(PloopChain, WritesGoToTheTop) {
    const auto base = made(8, {0, 1, 2}, 1);
    const Bytes before = *base;
    const auto top = made(8, {1}, 2);
    const auto disk = chain(opened(base, Access::read), opened(top));
    disk->begin();
    EXPECT_TRUE(disk->writable());
    Bytes wanted = content_of(*disk);
    const auto write = [&](std::uint64_t at, std::size_t length) {
        const Bytes data = pattern(length, static_cast<unsigned>(at % 251));
        disk->write(at, data);
        std::ranges::copy(data, wanted.begin() + static_cast<std::ptrdiff_t>(at));
        EXPECT_EQ(content_of(*disk), wanted);
    };
    write(100, 10);                      // copied up
    write(cluster - 5, 10);              // both are there now
    write(2 * cluster + 7, 3 * cluster); // parts and whole ones, old below and nothing
    EXPECT_EQ(disk->top().allocated_clusters(), 6u);
    write(0, 8 * cluster);
    disk->flush();
    disk->end();
    EXPECT_EQ(*base, before);
    const auto again = chain(opened(base, Access::read), opened(top, Access::read));
    EXPECT_EQ(content_of(*again), wanted);
}

TEST(PloopChain, DiscardAndZero) {
    const auto base = made(8, {0, 1}, 1);
    const auto top = made(8, {1, 2, 3, 4}, 2);
    const auto disk = chain(opened(base, Access::read), opened(top));
    disk->begin();
    disk->discard({2 * cluster + 1, 2 * cluster - 1}); // only 3 is whole
    EXPECT_EQ(seeds(*disk), (std::vector<int>{1, 2, 2, 0, 2, 0, 0, 0}));
    EXPECT_EQ(disk->top().allocated_clusters(), 3u);
    disk->zero({2 * cluster + 1, 2 * cluster - 1});
    Bytes part(cluster);
    disk->read(2 * cluster, part);
    EXPECT_EQ(part.front(), pattern(1, 2).front());
    EXPECT_TRUE(all_zero(std::span(part).subspan(1)));
    EXPECT_EQ(disk->top().allocated_clusters(), 3u) << "zeros where nothing is need no place";
    disk->discard({0, 8 * cluster});
    EXPECT_EQ(seeds(*disk), (std::vector<int>{1, 0, 0, 0, 0, 0, 0, 0})) << "what lies below alone is left";
    EXPECT_EQ(disk->top().allocated_clusters(), 1u) << "1 hides what is below";
    disk->zero({0, 8 * cluster});
    EXPECT_EQ(seeds(*disk), std::vector<int>(8, 0));
    EXPECT_EQ(disk->top().allocated_clusters(), 2u);
    disk->end();
}

TEST(PloopChain, ARawTopBecomesSparse) {
    const disktool::test::TemporaryFolder folder;
    store(folder / "raw", pattern(8 * cluster, 1));
    const auto disk =
        chain(Delta::open_raw(real_doors().files.open(folder / "raw", {.write = true}), Access::write, 64));
    disk->begin();
    disk->write(3 * cluster + 5, pattern(cluster, 2));
    disk->discard({cluster - 1, 2 * cluster + 1});
    disk->zero({6 * cluster + 100, 200});
    disk->flush();
    disk->end();
    Bytes wanted = pattern(8 * cluster, 1);
    const Bytes new_data = pattern(cluster, 2);
    std::ranges::copy(new_data, wanted.begin() + 3 * cluster + 5);
    std::fill_n(wanted.begin() + cluster, 2 * cluster, std::byte{0});
    std::fill_n(wanted.begin() + 6 * cluster + 100, 200, std::byte{0});
    EXPECT_EQ(content_of(*disk), wanted);
    EXPECT_EQ(stored(folder / "raw"), wanted);
    EXPECT_EQ(disk->extents({0, 8 * cluster}),
              (std::vector<Extent>{{{0, cluster}, ExtentKind::data},
                                   {{cluster, 2 * cluster}, ExtentKind::unallocated},
                                   {{3 * cluster, 5 * cluster}, ExtentKind::data}}));
}

TEST(PloopChain, WhatDoesNotBelongTogetherIsRefused) {
    const auto one = made_content(small_delta(8));
    const auto other = made_content(small_delta(4, Version::v2, 128));
    EXPECT_THROW(chain(opened(one, Access::read), opened(other, Access::read)), Error);
    const auto flat = std::make_shared<Bytes>(pattern(cluster, 1));
    EXPECT_THROW(chain(opened(one, Access::read), raw(flat)), Error);
}

/// Counts what reaches the file.
class CountingFile final : public File {
  public:
    explicit CountingFile(HeapFile::Content content) : inner_(std::move(content)) {}
    const std::string& path() const override { return inner_.path(); }
    FileStatus status() override { return inner_.status(); }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        ++reads;
        return inner_.read_some(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        ++writes;
        inner_.write(offset, data);
    }
    void punch_hole(Range range) override { inner_.punch_hole(range); }
    void zero(Range range) override { inner_.zero(range); }
    void allocate(Range range, bool keep_size) override { inner_.allocate(range, keep_size); }
    void truncate(std::uint64_t size) override { inner_.truncate(size); }
    void sync_data() override {}
    void sync() override {}
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return inner_.next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override { return inner_.next_hole(offset); }
    bool try_flock(LockMode) override { return true; }
    bool try_lock_bytes(Range, LockMode) override { return true; }
    bool could_lock_bytes(Range, LockMode) override { return true; }
    int descriptor() const override { return -1; }
    std::size_t reads = 0, writes = 0;

  private:
    HeapFile inner_;
};

TEST(PloopChain, OneCallForWhatLiesTogether) {
    const auto content = made_content(small_delta(100));
    auto owned = std::make_unique<CountingFile>(content);
    CountingFile& file = *owned;
    const auto disk = chain(Delta::open(std::move(owned), Access::write));
    disk->begin();
    file.reads = file.writes = 0;
    disk->write(10 * cluster, pattern(80 * cluster, 1));
    EXPECT_EQ(file.writes, 1u);
    disk->write(10 * cluster + 99, pattern(79 * cluster, 2));
    EXPECT_EQ(file.writes, 2u);
    Bytes buffer(100 * cluster);
    disk->read(0, buffer);
    EXPECT_EQ(file.reads, 1u);
}

TEST(PloopChain, ManyThreadsWriteTheirOwnClustersAndEachOthers) {
    const disktool::test::TemporaryFolder folder;
    FileDoor& door = real_doors().files;
    constexpr std::uint64_t clusters = 96;
    make_file(door, folder / "base", small_delta(clusters));
    make_file(door, folder / "top", small_delta(clusters));
    {
        const auto base = open_file(door, folder / "base");
        base->begin();
        base->allocate(0, pattern(clusters / 2 * cluster, 9));
        base->end();
    }
    const auto disk = chain(open_file(door, folder / "base", Access::read), open_file(door, folder / "top"));
    disk->begin();
    constexpr unsigned writers = 4;
    constexpr std::size_t sector = 4096;
    std::vector<std::thread> threads;
    std::atomic<bool> over = false;
    // Each writes every fourth sector of every cluster, so they meet where clusters get their places.
    for (unsigned who = 0; who < writers; ++who) {
        threads.emplace_back([&, who] {
            for (std::uint64_t i = 0; i < clusters; ++i) {
                for (std::uint64_t at = who; at < cluster / sector; at += writers) {
                    disk->write((i * 37 % clusters) * cluster + at * sector, pattern(sector, who + 1));
                }
            }
        });
    }
    std::thread flusher([&] {
        while (!over) {
            disk->flush();
            disk->discard({0, cluster / 2}); // not a whole one
        }
    });
    std::atomic<std::size_t> torn = 0;
    std::thread reader([&] {
        Bytes buffer(sector);
        for (std::uint64_t i = 0; !over; i = i * 5 + 3) {
            const std::uint64_t at = i % (clusters * cluster / sector);
            disk->read(at * sector, buffer);
            const Bytes new_one = pattern(sector, static_cast<unsigned>(at % writers) + 1);
            const Bytes old_one = pattern(clusters / 2 * cluster, 9);
            const bool as_before = at * sector < old_one.size()
                                       ? std::equal(buffer.begin(), buffer.end(),
                                                    old_one.begin() + static_cast<std::ptrdiff_t>(at * sector))
                                       : all_zero(buffer);
            torn += buffer != new_one && !as_before ? 1 : 0;
        }
    });
    for (auto& thread : threads) {
        thread.join();
    }
    over = true;
    flusher.join();
    reader.join();
    EXPECT_EQ(torn, 0u);
    disk->end();
    EXPECT_EQ(disk->top().allocated_clusters(), clusters);
    Bytes wanted;
    for (std::uint64_t at = 0; at < clusters * cluster / sector; ++at) {
        const Bytes part = pattern(sector, static_cast<unsigned>(at % writers) + 1);
        wanted.insert(wanted.end(), part.begin(), part.end());
    }
    EXPECT_EQ(content_of(*disk), wanted);
    EXPECT_EQ(complaints_by_qemu(folder / "top"), "");
}

} // namespace
} // namespace disktool::ploop::engine_test
