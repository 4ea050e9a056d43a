// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_delta.h"
#include "support/recording_door.h"

#include <gmock/gmock.h>

#include <functional>

namespace disktool::ploop::engine_test {
namespace {

using disktool::test::ChangeKind;
using disktool::test::RecordingDoor;
using disktool::test::TemporaryFolder;
using testing::HasSubstr;

TEST(PloopDelta, ANewOneIsEmptyAndWhole) {
    for (const Version version : {Version::v1, Version::v2}) {
        for (const std::uint32_t sectors : {64u, 2048u, 131072u}) {
            const auto content = made_content(small_delta(3, version, sectors));
            EXPECT_EQ(content->size(), sectors * 512ull);
            EXPECT_TRUE(all_zero(std::span(*content).subspan(header_size)));
            const auto delta = opened(content, Access::read);
            EXPECT_EQ(delta->disk_size(), 3ull * sectors * 512);
            EXPECT_EQ(delta->allocated_clusters(), 0u);
            EXPECT_EQ(delta->header().flags, flag_empty);
            EXPECT_FALSE(delta->place(0));
            EXPECT_EQ(delta->run(0, 100), 3u);
        }
    }
    EXPECT_THAT(
        refusal([] { made_content({.disk_sectors = 100, .cluster_sectors = 64}); }, ErrorCode::size_impossible),
        HasSubstr("multiple of 64"));
    EXPECT_NE(refusal([] { made_content(small_delta(1u << 26, Version::v1)); }, ErrorCode::size_impossible),
              "");
}

TEST(PloopDelta, APreallocatedOneHasEveryPlace) {
    for (const Version version : {Version::v1, Version::v2}) {
        NewDelta request = small_delta(9000, version);
        request.preallocated = true;
        const TemporaryFolder folder;
        FileDoor& door = real_doors().files;
        make_file(door, folder / "a", request);
        const FileStatus status = *door.status(folder / "a");
        EXPECT_EQ(status.size, 9002 * cluster);
        EXPECT_GE(status.allocated, 9002 * cluster);
        const auto delta = open_file(door, folder / "a");
        EXPECT_EQ(delta->allocated_clusters(), 9000u);
        EXPECT_EQ(delta->look(0, 10000).clusters, 9000u) << "all one behind the other";
        EXPECT_EQ(delta->place(8999), 9001 * cluster);
        EXPECT_EQ(delta->header().flags & flag_empty, 0u);
        EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
    }
}

TEST(PloopDelta, WhatIsWrittenIsWhereTheOriginalPutsIt) {
    for (const Version version : {Version::v1, Version::v2}) {
        const auto content = with_data(version);
        const std::uint32_t step = version == Version::v1 ? 64 : 1;
        EXPECT_EQ(entry(content, 3), 1 * step);
        EXPECT_EQ(entry(content, 0), 2 * step);
        EXPECT_EQ(entry(content, 319), 3 * step);
        EXPECT_EQ(entry(content, 7), 4 * step);
        EXPECT_EQ(entry(content, 8), 5 * step);
        EXPECT_EQ(content->size(), 6 * cluster);
        EXPECT_EQ(header_of(content).flags, 0u);
        EXPECT_EQ(header_of(content).in_use, 0u);
        const TemporaryFolder folder;
        store(folder / "a", *content);
        EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
        const auto disk = content_by_qemu(folder / "a");
        EXPECT_EQ(Bytes(disk.begin() + 7 * cluster, disk.begin() + 8 * cluster), pattern(cluster, 4));
        const auto delta = opened(content, Access::read);
        EXPECT_EQ(delta->run(7, 100), 2u);
        EXPECT_EQ(delta->run(4, 100), 3u);
        Bytes two(2 * cluster - 100);
        delta->read(7 * cluster + 50, two);
        EXPECT_TRUE(std::equal(two.begin(), two.end(), disk.begin() + 7 * cluster + 50));
    }
}

TEST(PloopDelta, BeginAndEndWithoutChangesLeaveTheFileAsItWas) {
    const auto content = with_data();
    content->resize(content->size() + 5000); // a tail is not ours to cut when nothing was asked
    const Bytes before = *content;
    {
        const auto delta = opened(content);
        delta->begin();
        EXPECT_TRUE(header_of(content).is_in_use());
        delta->end();
    }
    EXPECT_EQ(*content, before);
}

TEST(PloopDelta, InUseIsRefusedUnlessAskedFor) {
    const auto content = with_data();
    opened(content)->begin(); // and never ended
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("in use"));
    const auto delta = opened(content, Access::write, true);
    delta->begin();
    delta->end();
    EXPECT_EQ(header_of(content).in_use, 0u);
    EXPECT_TRUE(opened(content, Access::read));
}

TEST(PloopDelta, EntriesAreNotBelieved) {
    struct Case {
        std::uint32_t value;
        const char* why;
    };
    for (const Case& bad : std::vector<Case>{{50, "beyond the end"},
                                             {6, "beyond the end"},
                                             {0xffffffff, "beyond the end"},
                                             {2, "another guest cluster"}}) {
        const auto content = with_data();
        set_entry(content, 100, bad.value);
        const std::string sentence = refusal([&] { opened(content, Access::read); });
        EXPECT_THAT(sentence, HasSubstr(bad.why));
        // Of two that claim a place, the one that comes later is named.
        EXPECT_THAT(sentence, HasSubstr("guest cluster 100 "));
        EXPECT_THAT(sentence, HasSubstr("offset " + std::to_string(bad.value * cluster)));
        EXPECT_THAT(sentence, HasSubstr("ploop check"));
    }
    auto content = with_data();
    content->resize(content->size() - 1);
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("guest cluster 8 "));
    content = with_data(Version::v1);
    set_entry(content, 100, 65);
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("not at the start of a cluster"));
    content = made_content(small_delta(9000));
    content->resize(3 * cluster);
    set_entry(content, 100, 1);
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("within the header"));
    content = made_content(small_delta(320));
    content->resize(200);
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("ends at 200"));
    content->resize(40);
    EXPECT_THAT(refusal([&] { opened(content, Access::read); }), HasSubstr("shorter than the header"));
    content = made_content(small_delta(320));
    set_header(content, [](Header& header) { header.flags = flag_converting; });
    EXPECT_THAT(refusal([&] { opened(content, Access::read, true); }), HasSubstr("changing version state"));
}

TEST(PloopDelta, HolesComeBeforeTheEndAndFreedPlacesOnlyAfterAFlush) {
    const auto content = with_data();
    const auto delta = opened(content);
    delta->begin();
    delta->free(0);   // place 2
    delta->free(319); // place 3
    delta->free(5);
    EXPECT_EQ(delta->hole_count(), 0u);
    delta->allocate(20, pattern(cluster, 20));
    EXPECT_EQ(delta->place(20), 6 * cluster) << "the disk still refers to 2 and 3";
    delta->flush();
    EXPECT_EQ(delta->holes(), (std::set<std::uint64_t>{2, 3}));
    delta->allocate(22, pattern(cluster, 22));
    EXPECT_EQ(delta->place(22), 2 * cluster);
    delta->allocate(23, pattern(3 * cluster, 23));
    EXPECT_EQ(delta->place(23), 3 * cluster);
    EXPECT_EQ(delta->place(24), 7 * cluster);
    EXPECT_EQ(delta->place(25), 8 * cluster);
    EXPECT_EQ(delta->allocated_clusters(), 8u);
    delta->end();
    EXPECT_EQ(content->size(), 9 * cluster);
    Bytes read(3 * cluster);
    opened(content, Access::read)->read(23 * cluster, read);
    EXPECT_EQ(read, pattern(3 * cluster, 23));
}

TEST(PloopDelta, TheEndIsCutAndTheEmptyFlagIsRight) {
    const auto content = with_data();
    auto delta = opened(content);
    delta->begin();
    delta->free(8);
    delta->end();
    EXPECT_EQ(content->size(), 5 * cluster);
    delta->begin();
    delta->free(0, 320);
    delta->end();
    EXPECT_EQ(content->size(), cluster);
    EXPECT_EQ(header_of(content).flags, flag_empty);
    EXPECT_EQ(*content, *made_content(small_delta(320)));
}

TEST(PloopDelta, FlushSyncsOnlyWhatHasChanged) {
    const auto content = with_data();
    auto owned = std::make_unique<HeapFile>(content);
    HeapFile& file = *owned;
    const auto delta = Delta::open(std::move(owned), Access::write);
    delta->flush();
    EXPECT_EQ(file.syncs, 0u);
    delta->begin();
    EXPECT_EQ(file.syncs, 1u);
    delta->flush();
    EXPECT_EQ(file.syncs, 1u);
    delta->overwrite(3 * cluster, pattern(700, 1));
    delta->flush();
    delta->flush();
    EXPECT_EQ(file.syncs, 2u) << "the BAT has not changed";
    delta->allocate(4, pattern(cluster, 4));
    delta->flush();
    delta->flush();
    EXPECT_EQ(file.syncs, 4u);
    delta->free(4);
    delta->flush();
    EXPECT_EQ(file.syncs, 5u) << "no data to be synced before";
}

TEST(PloopDelta, OnlyChangedSectorsOfTheBatAreWritten) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "a", small_delta(8000));
    RecordingDoor door(folder.path());
    const auto delta = open_file(door, folder / "a");
    delta->begin();
    // Byte 64 is entry 0: sector 0 holds 112 of them, each other one 128.
    for (const std::uint64_t where : {0, 1, 111, 112, 240, 7000}) {
        delta->allocate(where, pattern(cluster, 1));
    }
    const std::size_t start = door.changes().size();
    delta->flush();
    std::vector<Range> written;
    for (std::size_t i = start; i < door.changes().size(); ++i) {
        if (door.changes()[i].kind == ChangeKind::write) {
            written.push_back(door.changes()[i].range);
        }
    }
    EXPECT_EQ(written, (std::vector<Range>{{64, 3 * 512 - 64}, {(64 + 7000 * 4) / 512 * 512, 512}}));
}

TEST(PloopDelta, HostSharesWithAnotherFile) {
    const TemporaryFolder folder;
    RecordingDoor door(folder.path());
    door.pretend_to_share();
    make_file(door, folder / "a", small_delta(10));
    store(folder / "source", pattern(3 * cluster, 9));
    const auto source = door.open(folder / "source", {});
    const auto delta = open_file(door, folder / "a");
    delta->begin();
    ASSERT_TRUE(delta->allocate_from(4, *source, cluster));
    EXPECT_FALSE(delta->allocate_from(5, *source, 5 * cluster)) << "behind the end of the source";
    EXPECT_FALSE(delta->place(5));
    EXPECT_EQ(delta->allocated_clusters(), 1u);
    Bytes read(cluster);
    delta->read(4 * cluster, read);
    const Bytes whole = pattern(3 * cluster, 9);
    EXPECT_EQ(read, Bytes(whole.begin() + cluster, whole.begin() + 2 * cluster));
    delta->end();
    EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
}

TEST(PloopDelta, HostSharesOverOldClustersAndMany) {
    const TemporaryFolder folder;
    RecordingDoor door(folder.path());
    door.pretend_to_share();
    make_file(door, folder / "a", small_delta(12));
    const Bytes source_bytes = pattern(5 * cluster, 9);
    store(folder / "source", source_bytes);
    const auto source = door.open(folder / "source", {});
    const auto delta = open_file(door, folder / "a");
    delta->begin();
    // So that the places of 4 to 7 are not one behind the other.
    delta->allocate(5, pattern(cluster, 1));
    delta->allocate(4, pattern(cluster, 2));
    ASSERT_TRUE(delta->allocate_from(6, *source, cluster, 2));
    ASSERT_TRUE(delta->overwrite_from(4, *source, 0, 3));
    EXPECT_THROW(delta->overwrite_from(7, *source, 0, 2), std::logic_error) << "8 is not here";
    EXPECT_FALSE(delta->allocate_from(8, *source, 4 * cluster, 2)) << "behind the end of the source";
    EXPECT_FALSE(delta->place(8) || delta->place(9));
    EXPECT_EQ(delta->allocated_clusters(), 4u);
    Bytes read(3 * cluster);
    delta->read(4 * cluster, read);
    EXPECT_EQ(read, Bytes(source_bytes.begin(), source_bytes.begin() + 3 * cluster));
    delta->end();
    EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
}

TEST(PloopDelta, AFullHostLeavesAWholeImage) {
    const TemporaryFolder folder;
    make_file(real_doors().files, folder / "a", small_delta(320));
    RecordingDoor door(folder.path());
    auto delta = open_file(door, folder / "a");
    delta->begin();
    delta->allocate(1, pattern(cluster, 1));
    door.limit_space(cluster + 100);
    EXPECT_NE(refusal([&] { delta->allocate(2, pattern(3 * cluster, 2)); }, ErrorCode::no_space), "");
    EXPECT_EQ(delta->allocated_clusters(), 1u);
    EXPECT_FALSE(delta->place(2));
    door.limit_space(UINT64_MAX);
    delta->allocate(3, pattern(cluster, 3));
    EXPECT_EQ(delta->place(3), 2 * cluster) << "the place is there for others";
    delta->end();
    EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
}

TEST(PloopDelta, AfterAFailedSyncNothingIsPromisedAnyMore) {
    for (const std::size_t which : {1, 2}) { // of the data, of the BAT
        const TemporaryFolder folder;
        make_file(real_doors().files, folder / "a", small_delta(320));
        RecordingDoor door(folder.path());
        const auto delta = open_file(door, folder / "a");
        delta->begin();
        delta->allocate(1, pattern(cluster, 1));
        door.fail_sync(which, EIO);
        EXPECT_THROW(delta->flush(), Error);
        EXPECT_THROW(delta->flush(), Error);
        EXPECT_THROW(delta->end(), Error);
        EXPECT_THROW(delta->allocate(2, pattern(cluster, 1)), Error);
        EXPECT_TRUE(open_file(real_doors().files, folder / "a", Access::read, true)->header().is_in_use());
    }
}

TEST(PloopDelta, RawOnes) {
    const auto content = std::make_shared<Bytes>(pattern(2 * cluster + 1000, 1));
    const auto open_it = [&] {
        return Delta::open_raw(std::make_unique<HeapFile>(content), Access::write, 64);
    };
    auto delta = open_it();
    EXPECT_EQ(delta->disk_size(), 2 * cluster + 512) << "whole sectors";
    EXPECT_EQ(delta->clusters(), 3u);
    EXPECT_EQ(delta->run(0, 10), 3u);
    Bytes read(cluster);
    delta->read(2 * cluster, read);
    EXPECT_TRUE(std::equal(read.begin(), read.begin() + 1000, content->begin() + 2 * cluster));
    EXPECT_TRUE(all_zero(std::span(read).subspan(1000)));
    delta->begin();
    delta->free(0);
    EXPECT_TRUE(all_zero(std::span(*content).first(cluster)));
    delta->grow(4 * 64);
    EXPECT_EQ(content->size(), 4 * cluster);
    EXPECT_TRUE(all_zero(std::span(*content).subspan(2 * cluster + 512)));
    delta->shrink(64);
    EXPECT_EQ(content->size(), cluster);
    delta->end();
    EXPECT_EQ(open_it()->clusters(), 1u);
}

TEST(PloopDelta, ASparseFileThatClaimsALotCostsLittle) {
    // 2^28 entries (1 GiB) in holes of the host, and a single cluster far behind.
    const TemporaryFolder folder;
    FileDoor& door = real_doors().files;
    Header header = new_header((1ull << 28) * 64, 64, Version::v2);
    header.flags = 0;
    {
        const auto file = door.open(folder / "a", {.write = true, .create = true});
        file->write(0, header_bytes(header));
        const std::uint32_t far = 100'000'000; // 3 TB
        file->truncate((far + 1ull) * cluster);
        file->write(header_size + 4ull * 200'000'000, std::as_bytes(std::span(&far, 1)));
    }
    const auto delta = open_file(door, folder / "a", Access::read);
    EXPECT_EQ(delta->allocated_clusters(), 1u);
    EXPECT_EQ(delta->place(200'000'000), 100'000'000 * cluster);
    EXPECT_EQ(delta->hole_count(), 100'000'000 - header.data_start());
}

TEST(PloopDelta, AFileThatGrowsAheadIsCutAtTheEnd) {
    const auto content = made_content(small_delta(100));
    const auto delta = opened(content);
    delta->begin();
    delta->grow_file_by(10 * cluster);
    const std::size_t before = content->size();
    delta->allocate(7, pattern(cluster, 1));
    EXPECT_EQ(content->size(), before + 10 * cluster);
    for (std::uint64_t i = 8; i < 17; ++i) {
        delta->allocate(i, pattern(cluster, 2));
    }
    EXPECT_EQ(content->size(), before + 10 * cluster) << "there was room for ten";
    delta->allocate(20, pattern(cluster, 3));
    EXPECT_EQ(content->size(), before + 20 * cluster);
    delta->allocate(30, pattern(15 * cluster, 3));
    EXPECT_EQ(content->size(), before + 30 * cluster);
    delta->end();
    EXPECT_EQ(content->size(), before + 26 * cluster);
    EXPECT_FALSE(header_of(content).is_in_use());
}

TEST(PloopDelta, AHostThatCannotGrowAFileAheadIsWrittenToAllTheSame) {
    const test::TemporaryFolder folder;
    test::RecordingDoor door(folder.path());
    make_file(door, folder / "image", small_delta(100));
    const auto delta = open_file(door, folder / "image");
    delta->begin();
    delta->grow_file_by(50 * cluster);
    door.fail_change(1, ENOSPC);
    EXPECT_NO_THROW(delta->allocate(0, pattern(cluster, 1)));
    EXPECT_TRUE(door.failed());
    EXPECT_NO_THROW(delta->allocate(1, pattern(cluster, 2)));
    EXPECT_EQ(delta->file().status().size, 3 * cluster) << "header and BAT, and two clusters";
    delta->end();
    EXPECT_EQ(complaints_by_qemu(folder / "image"), "");
}

} // namespace
} // namespace disktool::ploop::engine_test
