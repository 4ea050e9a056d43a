// SPDX-License-Identifier: LGPL-2.1-or-later
// Working disks: what they show, and what their commits make of images.
#include "working_disks.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {

namespace {

class RandomWork : public testing::TestWithParam<Recipe> {};

/// All that a commit can ask for, one after the other on one image.
TEST_P(RandomWork, ShowsAndCommitsWhatWasWritten) {
    for (std::uint32_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        const TemporaryFolder folder;
        const std::string path = make_random_image(folder, GetParam(), seed);
        auto image = open_for_writing(path);
        Bytes now = content_by_qemu(path);
        std::vector<std::pair<std::string, Bytes>> snapshots;
        for (const SnapshotInfo& info : image->info().snapshots) {
            snapshots.emplace_back(info.name, content_by_qemu(path, info.name));
        }
        for (int round = 0; round < 6; ++round) {
            SCOPED_TRACE(round);
            const std::uint64_t cluster_size = image->info().cluster_size;
            WorkCommit request;
            request.size = now.size();
            if (round == 1) {
                request.drop_snapshots = true;
                snapshots.clear();
            } else if (round == 2) {
                request.size += (1 + random() % 6000) * 512;
            } else if (round == 3) {
                request.size -= (1 + random() % 2500) * 512;
            } else if (round == 4) {
                request.size += 1537 * 512;
                request.drop_backing = true;
            } else if (round == 5) {
                request.reserve = true;
            }
            auto disk = image->begin_work(std::max<std::uint64_t>(request.size, now.size()));
            ModelledWork work(*disk, now, cluster_size, seed * 100 + round);
            work.random_requests(30);
            EXPECT_EQ(difference(work.content(), read_whole(*disk), {}), std::nullopt);
            EXPECT_EQ(difference(now, content_by_qemu(path), {}), std::nullopt) << "the old state is touched";
            const bool backed = image->backing() != nullptr;
            if (request.drop_backing && backed) {
                // What shows through has to be written by whoever wants it.
                for (std::uint64_t at = 0; at < request.size; at += 1 << 20) {
                    const auto from = work.content().begin() + at;
                    work.write(at, Bytes(from, from + std::min<std::uint64_t>(1 << 20, request.size - at)));
                }
            }
            std::uint64_t at = 0;
            for (const Extent& extent : disk->extents({0, disk->size()})) {
                EXPECT_EQ(extent.range.offset, at);
                at = extent.range.end();
                if (extent.kind != ExtentKind::data) {
                    EXPECT_TRUE(std::all_of(work.content().begin() + extent.range.offset,
                                            work.content().begin() + at,
                                            [](std::byte b) { return b == std::byte{0}; }));
                }
            }
            EXPECT_EQ(at, disk->size());
            disk->commit(request);
            now = work.content();
            now.resize(request.size);
            EXPECT_EQ(image->info().virtual_size, request.size);
            EXPECT_EQ(difference(now, read_whole(image->device()), {}), std::nullopt);
            EXPECT_EQ(difference(now, content_by_qemu(path), {}), std::nullopt);
            EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
            const CheckReport report = image->check();
            EXPECT_EQ(report.errors + report.leaks, 0u) << testing::PrintToString(report.sentences);
            EXPECT_TRUE(nothing_left(path, {}));
            EXPECT_EQ(image->info().snapshots.size(), snapshots.size());
            for (const auto& [name, content] : snapshots) {
                EXPECT_EQ(difference(content, content_by_qemu(path, name), {}), std::nullopt);
            }
            if (request.drop_backing) {
                EXPECT_EQ(image->backing(), nullptr);
                EXPECT_EQ(image->info().chain.size(), 1u);
            }
            if (request.reserve) {
                EXPECT_EQ(image->allocation(), Allocation::plain);
                EXPECT_EQ(open(path)->allocation(), Allocation::plain);
                EXPECT_GE(allocated(path), round_up(request.size, cluster_size));
            }
            if (testing::Test::HasFailure()) {
                return;
            }
        }
        // QEMU can go on with it.
        qemu_io(path, {"write -q -P 7 0 100k"});
        EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    }
}

INSTANTIATE_TEST_SUITE_P(
    , RandomWork,
    testing::Values(
        Recipe{"cluster512", "cluster_size=512"}, Recipe{"cluster2M", "cluster_size=2M"},
        Recipe{.name = "unaligned", .options = "cluster_size=64k", .size = (3 << 20) + 512 * 5},
        Recipe{"version2", "compat=0.10,cluster_size=4k"},
        Recipe{.name = "version2_backing",
               .options = "compat=0.10,cluster_size=4k",
               .backing = true,
               .size = (2 << 20) + 512 * 3},
        Recipe{.name = "version2_snapshots", .options = "compat=0.10,cluster_size=4k", .snapshots = true},
        Recipe{"subclusters", "extended_l2=on,cluster_size=16k"},
        Recipe{"refcount1", "refcount_bits=1,cluster_size=512"},
        Recipe{"refcount64", "refcount_bits=64,cluster_size=512"},
        Recipe{"preallocated", "preallocation=metadata,cluster_size=4k"},
        Recipe{"lazy", "lazy_refcounts=on,cluster_size=4k"},
        Recipe{.name = "compressed", .options = "cluster_size=4k", .compressed = true},
        Recipe{.name = "compressed_snapshots",
               .options = "cluster_size=64k",
               .compressed = true,
               .snapshots = true},
        Recipe{.name = "snapshots", .options = "cluster_size=4k", .snapshots = true},
        Recipe{.name = "snapshots_subclusters_backing",
               .options = "extended_l2=on,cluster_size=16k",
               .snapshots = true,
               .backing = true,
               .size = (2 << 20) + 512 * 3},
        Recipe{.name = "backing", .options = "cluster_size=4k", .backing = true, .size = (2 << 20) + 512 * 3},
        Recipe{
            .name = "backing_compressed", .options = "cluster_size=4k", .compressed = true, .backing = true}),
    [](const auto& recipe) { return recipe.param.name; });

class WorkTest : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
};

TEST_F(WorkTest, AbandonedLeavesTheFileAsItWas) {
    create(path, "cluster_size=64k", "8M");
    qemu_io(path, {"write -q -P 1 0 3M"});
    const std::string before = disktool::test::read_file(path);
    auto image = open_for_writing(path);
    {
        auto disk = image->begin_work(10 << 20);
        disk->write(1 << 20, Bytes(1 << 20, std::byte{5}));
        EXPECT_EQ(disk->space_taken(), 1u << 20);
        disk->discard({1 << 20, 512 << 10});
        EXPECT_EQ(disk->space_taken(), 512u << 10);
        EXPECT_GT(std::filesystem::file_size(path), before.size());
        EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    }
    EXPECT_EQ(disktool::test::read_file(path), before);
}

TEST_F(WorkTest, SpaceThatWasDiscardedIsUsedAgain) {
    create(path, "cluster_size=64k", "8M");
    auto image = open_for_writing(path);
    auto disk = image->begin_work(8 << 20);
    for (int i = 0; i < 20; ++i) {
        disk->write(0, Bytes(1 << 20, std::byte{5}));
        disk->discard({0, 1 << 20});
        disk->write(4 << 20, Bytes(512, std::byte{6})); // a cluster that held other bytes before
    }
    const std::uint64_t length = std::filesystem::file_size(path);
    disk->commit({8 << 20});
    EXPECT_LT(length, 3u << 20);
    Bytes expected(8 << 20);
    std::fill_n(expected.begin() + (4 << 20), 512, std::byte{6});
    EXPECT_EQ(difference(expected, content_by_qemu(path), {}), std::nullopt);
    EXPECT_LT(allocated(path), 1u << 20);
}

TEST_F(WorkTest, ZerosTakeNoSpace) {
    create(path, "cluster_size=64k", "64M");
    auto image = open_for_writing(path);
    auto disk = image->begin_work(64 << 20);
    disk->write(0, Bytes(32 << 20));
    disk->write(12345, Bytes(777));
    disk->zero({5000, 40 << 20});
    EXPECT_EQ(disk->space_taken(), 0u);
    const std::string before = disktool::test::read_file(path);
    disk->commit({64 << 20});
    EXPECT_EQ(disktool::test::read_file(path), before) << "nothing had to change";
}

TEST_F(WorkTest, RequestsBeyondTheEndAreRefused) {
    create(path, "cluster_size=64k", "1M");
    auto image = open_for_writing(path);
    auto disk = image->begin_work(1 << 20);
    EXPECT_EQ(error_of([&] { disk->write((1 << 20) - 1, Bytes(2)); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { disk->discard({0, (1 << 20) + 1}); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { image->begin_work(1ull << 62); }).code(), ErrorCode::size_impossible);
    EXPECT_EQ(error_of([&] { open(path)->begin_work(1 << 20); }).code(), ErrorCode::unsupported);
}

TEST_F(WorkTest, RefcountsThatAreTooLowAreRefusedBeforeAnythingIsWritten) {
    create(path, "cluster_size=64k", "1M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    const std::uint64_t block =
        peek<std::uint64_t>(path, open(path)->metadata().header().refcount_table_offset);
    patch<std::uint16_t>(path, block + 2 * 7, 0); // a data cluster
    const std::string before = disktool::test::read_file(path);
    auto image = open_for_writing(path);
    EXPECT_EQ(error_of([&] { image->begin_work(1 << 20); }).code(), ErrorCode::damaged);
    EXPECT_EQ(disktool::test::read_file(path), before);
}

TEST_F(WorkTest, LeaksAreMendedByTheWay) {
    create(path, "cluster_size=64k", "1M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    const std::uint64_t block =
        peek<std::uint64_t>(path, open(path)->metadata().header().refcount_table_offset);
    patch<std::uint16_t>(path, block + 2 * 700, 3); // beyond the end of the file
    patch<std::uint16_t>(path, block + 2 * 7, 2);
    auto image = open_for_writing(path);
    auto disk = image->begin_work(1 << 20);
    disk->write(0, Bytes(100, std::byte{3}));
    disk->commit({1 << 20});
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(WorkTest, LeaksThatMayBeSomeonesAreKept) {
    create(path, "cluster_size=64k", "1M");
    qemu_io(path, {"write -q -P 1 0 1M"});
    patch<std::uint64_t>(path, field::autoclear_features, 1ull << 40);
    const std::uint64_t block =
        peek<std::uint64_t>(path, open(path)->metadata().header().refcount_table_offset);
    const std::uint64_t leaked = std::filesystem::file_size(path) / (64 << 10) + 3;
    patch<std::uint16_t>(path, block + 2 * leaked, 1);
    std::filesystem::resize_file(path, (leaked + 1) * (64 << 10));
    patch<std::uint64_t>(path, leaked * (64 << 10), 0x5345435245540000);
    auto image = open_for_writing(path);
    auto disk = image->begin_work(1 << 20);
    disk->write(0, Bytes(1 << 20, std::byte{3}));
    disk->commit({1 << 20});
    EXPECT_EQ(qemu_check(path), (Verdict{0, 1}));
    EXPECT_EQ(peek<std::uint64_t>(path, leaked * (64 << 10)), 0x5345435245540000u);
    EXPECT_EQ(open(path)->metadata().header().autoclear_features, 0u);
}

TEST_F(WorkTest, ManyThreadsAtOnce) {
    create(path, "cluster_size=64k", "32M");
    qemu_io(path, {"write -q -P 9 0 32M"});
    auto image = open_for_writing(path);
    auto disk = image->begin_work(32 << 20);
    ASSERT_TRUE(disk->concurrent());
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < 4; ++number) {
            // Neighbouring sectors, so that all of them meet in each cluster.
            threads.emplace_back([&, number] {
                Bytes sector(512, static_cast<std::byte>(number + 1));
                Bytes seen(512);
                for (std::uint64_t at = number * 512; at < disk->size(); at += 16 << 10) {
                    disk->write(at, sector);
                    disk->read(at, seen);
                    EXPECT_EQ(seen, sector);
                }
            });
        }
    }
    disk->commit({32 << 20});
    const Bytes now = content_by_qemu(path);
    for (std::uint64_t at = 0; at < now.size(); at += 512) {
        const std::uint64_t within = at % (16 << 10) / 512;
        ASSERT_EQ(now[at], within < 4 ? static_cast<std::byte>(within + 1) : std::byte{9}) << at;
    }
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(WorkTest, ReservingStaysPlainWithGrowth) {
    create(path, "cluster_size=64k", "8M");
    qemu_io(path, {"write -q -P 1 1M 3M"});
    auto image = open_for_writing(path);
    EXPECT_EQ(image->allocation(), Allocation::expanding);
    image->begin_work(8 << 20)->commit({.size = 8 << 20, .reserve = true});
    EXPECT_EQ(image->allocation(), Allocation::plain);
    TestContext context;
    grow(path, {20 << 20, {}}, context);
    EXPECT_EQ(open(path)->allocation(), Allocation::plain);
    EXPECT_GE(allocated(path), 20u << 20);
    // What the guest writes needs nothing more of the host.
    const std::uint64_t before = allocated(path);
    const std::uint64_t length = std::filesystem::file_size(path);
    qemu_io(path, {"write -q -P 2 0 20M"});
    EXPECT_EQ(allocated(path), before);
    EXPECT_EQ(std::filesystem::file_size(path), length);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(WorkTest, TooLittleRoomToReserveIsSaidInTheWordsThatScriptsKnow) {
    create(path, "cluster_size=64k", "8M");
    class FullHost : public disktool::test::RecordingDoor {
      public:
        using RecordingDoor::RecordingDoor;
        std::uint64_t free_space(const std::string&) override { return (5 << 20) + 1; }
    } door(folder.path());
    auto image = open_for_writing(path, {door, real_doors().processes});
    auto disk = image->begin_work(8 << 20);
    const Error error = error_of([&] { disk->commit({.size = 8 << 20, .reserve = true}); });
    EXPECT_EQ(error.code(), ErrorCode::no_space);
    EXPECT_THAT(error.what(), testing::HasSubstr("Not enough free space ( needed: 9 available: 5 )"));
    EXPECT_TRUE(door.changes().empty());
}

TEST_F(WorkTest, TellsWhatIsItsOwnAndWhereItLies) {
    make_source(folder);
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw", path, "16M"});
    qemu_io(path, {"write -q -P 3 1M 128k", "write -q -z 2M 64k"});
    auto image = open(path);
    EXPECT_EQ(image->own_extents({0, 16 << 20}).to_vector(),
              (std::vector<Range>{{1 << 20, 128 << 10}, {2 << 20, 64 << 10}}));
    EXPECT_EQ(image->own_extents({(1 << 20) + 512, 512}).to_vector(),
              (std::vector<Range>{{(1 << 20) + 512, 512}}));
    std::uint64_t bytes = 0;
    for (const HostExtent& extent : image->host_extents({0, 16 << 20})) {
        Bytes there(extent.guest.length);
        extent.file->read(extent.host_offset, there);
        Bytes seen(extent.guest.length);
        image->device().read(extent.guest.offset, seen);
        EXPECT_EQ(there, seen);
        bytes += extent.guest.length;
    }
    EXPECT_EQ(bytes, 128u << 10);
    ASSERT_NE(image->backing(), nullptr);
    EXPECT_EQ(image->backing()->info().chain[0].format, "raw");
}

} // namespace

} // namespace disktool::qcow2::test
