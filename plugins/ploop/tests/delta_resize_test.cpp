// SPDX-License-Identifier: LGPL-2.1-or-later
// What moves clusters and what changes the header: growing, shrinking, compacting, and the end of an extension.
#include "made_delta.h"

#include <gmock/gmock.h>

namespace disktool::ploop::engine_test {
namespace {

using disktool::test::TemporaryFolder;

TEST(PloopDelta, AnExtensionHoldsUntilSomethingChanges) {
    const auto with_extension = [] {
        const auto content = with_data();
        {
            const auto delta = opened(content);
            delta->begin();
            delta->free(3); // a hole at place 1
            delta->end();
        }
        content->resize(8 * cluster, std::byte{0xee});
        set_header(content, [](Header& header) {
            header.in_use = closed_mark_v21;
            header.extension_sector = 7 * 64;
        });
        return content;
    };
    auto content = with_extension();
    const Bytes before = *content;
    auto delta = opened(content);
    EXPECT_EQ(delta->file_clusters(), 8u);
    EXPECT_EQ(delta->holes(), (std::set<std::uint64_t>{1}));
    EXPECT_EQ(delta->hole_count(), 1u);
    delta->begin();
    EXPECT_EQ(header_of(content).extension_sector, 7u * 64);
    delta->flush();
    delta->end();
    EXPECT_EQ(*content, before);

    const std::vector<std::function<void(Delta&)>> changes = {
        [](Delta& d) { d.overwrite(0, pattern(512, 1)); },
        [](Delta& d) { d.allocate(9, pattern(cluster, 1)); },
        [](Delta& d) { d.free(0); },
        [](Delta& d) { d.grow(20480 * 2); },
        [](Delta& d) { d.shrink(20480 / 2); },
        [](Delta& d) { d.compact(); },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
        SCOPED_TRACE(i);
        content = with_extension();
        delta = opened(content);
        delta->begin();
        changes[i](*delta);
        if (i > 0) {
            EXPECT_EQ(header_of(content).extension_sector, 0u) << "not after a crash either";
        }
        delta->end();
        EXPECT_EQ(header_of(content).in_use, 0u);
        EXPECT_EQ(header_of(content).extension_sector, 0u);
        EXPECT_LE(content->size(), 6 * cluster) << "its clusters are given back";
        opened(content, Access::read);
    }
}

TEST(PloopDelta, GrowMovesClustersOutOfTheWay) {
    for (const Version version : {Version::v1, Version::v2}) {
        const auto content = made_content(small_delta(320, version));
        auto delta = opened(content);
        delta->begin();
        for (unsigned i = 0; i < 4; ++i) { // as golden image ok-v2-pregrow
            delta->allocate(5 + i, pattern(cluster, i));
        }
        delta->end();
        // What lies behind the last entry must not become an entry.
        set_entry(content, 320, 4);
        set_entry(content, 1000, 3);
        delta = opened(content);
        delta->begin();
        delta->grow(1228800);
        EXPECT_TRUE(header_of(content).is_in_use());
        delta->end();
        const std::uint32_t step = version == Version::v1 ? 64 : 1;
        EXPECT_EQ(entry(content, 5), 5 * step);
        EXPECT_EQ(entry(content, 6), 6 * step);
        EXPECT_EQ(entry(content, 7), 3 * step);
        EXPECT_EQ(entry(content, 8), 4 * step);
        EXPECT_EQ(entry(content, 320), 0u);
        EXPECT_EQ(entry(content, 1000), 0u);
        EXPECT_EQ(content->size(), 7 * cluster);
        EXPECT_EQ(header_of(content), [&] {
            Header header = new_header(1228800, 64, version);
            header.flags = 0;
            return header;
        }());
        const TemporaryFolder folder;
        store(folder / "a", *content);
        EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
        disktool::test::run_tool(
            {"qemu-img", "convert", "-f", "parallels", "-O", "raw", folder / "a", folder / "raw"});
        const auto disk = real_doors().files.open(folder / "raw", {});
        EXPECT_EQ(disk->status().size, 1228800u * 512);
        Bytes before(5 * cluster);
        disk->read(0, before);
        EXPECT_TRUE(all_zero(before));
        EXPECT_EQ(disk->next_data(9 * cluster), std::nullopt);
        for (unsigned i = 0; i < 4; ++i) {
            Bytes read(cluster);
            disk->read((5 + i) * cluster, read);
            EXPECT_EQ(read, pattern(cluster, i));
        }
    }
}

TEST(PloopDelta, GrowKeepsAnEmptyOneEmptyAndClearsAPartOfACluster) {
    const auto empty = made_content(small_delta(320));
    auto delta = opened(empty);
    delta->begin();
    delta->grow(1228800);
    delta->end();
    EXPECT_EQ(*empty, *made_content({.disk_sectors = 1228800, .cluster_sectors = 64}));

    const auto content = with_data();
    set_header(content, [](Header& header) { header.disk_sectors -= 3; });
    delta = opened(content);
    delta->begin();
    delta->grow(20480);
    delta->end();
    Bytes last(cluster);
    opened(content, Access::read)->read(319 * cluster, last);
    Bytes wanted = pattern(cluster, 3);
    std::fill(wanted.end() - 3 * 512, wanted.end(), std::byte{0});
    EXPECT_EQ(last, wanted);
}

TEST(PloopDelta, SizesThatCannotBe) {
    const auto content = with_data(Version::v1);
    const auto delta = opened(content);
    delta->begin();
    EXPECT_NE(refusal([&] { delta->grow(20481); }, ErrorCode::size_impossible), "");
    EXPECT_NE(refusal([&] { delta->grow(1ull << 32); }, ErrorCode::size_impossible), "");
    EXPECT_NE(refusal([&] { delta->grow(20480 - 64); }, ErrorCode::size_impossible), "");
    EXPECT_NE(refusal([&] { delta->shrink(20480 + 64); }, ErrorCode::size_impossible), "");
    delta->end();
    EXPECT_EQ(*content, *with_data(Version::v1));
}

TEST(PloopDelta, ShrinkFreesWhatLiesBehindAndGrowBringsNothingBack) {
    for (const Version version : {Version::v1, Version::v2}) {
        const auto content = with_data(version);
        const auto delta = opened(content);
        delta->begin();
        delta->shrink(8 * 64);
        EXPECT_EQ(delta->clusters(), 8u);
        EXPECT_EQ(delta->allocated_clusters(), 3u);
        EXPECT_FALSE(delta->place(8));
        EXPECT_EQ(delta->holes(), (std::set<std::uint64_t>{3}));
        delta->grow(20480);
        EXPECT_FALSE(delta->place(8));
        EXPECT_FALSE(delta->place(319));
        delta->end();
        EXPECT_EQ(opened(content, Access::read)->allocated_clusters(), 3u);
        EXPECT_EQ(entry(content, 8), 0u);
        EXPECT_EQ(content->size(), 5 * cluster);
    }
}

TEST(PloopDelta, CompactFillsHolesFromTheTail) {
    const auto content = with_data();
    const auto delta = opened(content);
    delta->begin();
    delta->free(3);   // place 1
    delta->free(319); // place 3
    delta->flush();
    EXPECT_EQ(delta->compact(1), cluster) << "only the last one is moved";
    EXPECT_EQ(delta->place(8), 1 * cluster);
    EXPECT_EQ(delta->holes(), (std::set<std::uint64_t>{3}));
    EXPECT_EQ(delta->compact(), cluster);
    EXPECT_EQ(delta->place(7), 3 * cluster);
    EXPECT_EQ(delta->hole_count(), 0u);
    EXPECT_EQ(content->size(), 4 * cluster);
    EXPECT_EQ(delta->compact(), 0u);
    Bytes read(2 * cluster);
    delta->read(7 * cluster, read);
    Bytes wanted = pattern(cluster, 4);
    const Bytes second = pattern(cluster, 5);
    wanted.insert(wanted.end(), second.begin(), second.end());
    EXPECT_EQ(read, wanted);
    delta->end();
    opened(content, Access::read);
}

} // namespace
} // namespace disktool::ploop::engine_test
