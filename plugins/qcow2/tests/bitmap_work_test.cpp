// SPDX-License-Identifier: LGPL-2.1-or-later
// Dirty bitmaps, header extensions and shared host blocks through the commit of a working disk.
#include "working_disks.h"

#include <gmock/gmock.h>

namespace disktool::qcow2::test {

namespace {

class BitmapWork : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
};

/// Every sector that was touched, and what was dirty before, rounded to the granularity; nothing else.
std::vector<bool> expected_dirty(std::vector<bool> before, const std::vector<bool>& touched,
                                 std::uint64_t sectors, std::uint64_t granularity) {
    before.resize(sectors);
    const std::uint64_t unit = granularity / 512;
    for (std::uint64_t at = 0; at < sectors; at += unit) {
        bool any = false;
        for (std::uint64_t i = at; i < std::min(sectors, at + unit); ++i) {
            any = any || before[i] || (i < touched.size() && touched[i]);
        }
        std::fill(before.begin() + at, before.begin() + std::min(sectors, at + unit), any);
    }
    return before;
}

TEST_F(BitmapWork, RecordingOnesKnowWhatWasWrittenAndOthersStay) {
    for (const std::string options : {"cluster_size=512", "cluster_size=4k", "cluster_size=64k"}) {
        for (const std::int64_t gain : {0, 3000, -1500}) {
            SCOPED_TRACE(testing::Message() << options << " " << gain);
            std::filesystem::remove(path);
            create(path, options, std::to_string((3 << 20) + 512 * 3));
            run_tool({"qemu-img", "bitmap", "--add", "-g", "512", path, "fine"});
            run_tool({"qemu-img", "bitmap", "--add", "-g", "64k", path, "coarse"});
            run_tool({"qemu-img", "bitmap", "--add", "-g", "4096", path, "stopped"});
            qemu_io(path, {"write -q -P 1 0 100k", "write -q -P 1 1M 1M", "write -q -P 2 3073k 512",
                           "write -q -P 1 700k 512"});
            run_tool({"qemu-img", "bitmap", "--disable", path, "stopped"});
            const auto fine = dirty_by_qemu(path, "fine");
            const auto coarse = dirty_by_qemu(path, "coarse");
            auto stopped = dirty_by_qemu(path, "stopped");
            EXPECT_EQ(fine, dirty_sectors(path, "fine"));
            auto image = open_for_writing(path);
            const std::uint64_t size = image->info().virtual_size + gain * 512;
            auto disk = image->begin_work(std::max<std::uint64_t>(size, image->info().virtual_size));
            ModelledWork work(*disk, read_whole(image->device()), image->info().cluster_size, 3);
            work.random_requests(25);
            disk->commit({size});
            ASSERT_EQ(image->info().bitmaps.size(), 3u);
            image.reset();
            EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
            EXPECT_EQ(dirty_by_qemu(path, "fine"), expected_dirty(fine, work.touched(), size / 512, 512));
            EXPECT_EQ(dirty_by_qemu(path, "coarse"),
                      expected_dirty(coarse, work.touched(), size / 512, 64 << 10));
            if (gain > 0) {
                // Its last piece is dirty as a whole, so the sectors behind the old end are.
                for (std::uint64_t i = stopped.size(); i % 8 != 0; ++i) {
                    stopped.push_back(stopped.back());
                }
            }
            stopped.resize(size / 512);
            EXPECT_EQ(dirty_by_qemu(path, "stopped"), stopped);
            // QEMU copies them: so it believes all of it.
            const std::string copy = folder / "copy.qcow2";
            run_tool({"qemu-img", "create", "-q", "-f", "qcow2", copy, std::to_string(size)});
            run_tool({"qemu-img", "bitmap", "--add", "-g", "512", copy, "merged"});
            run_tool({"qemu-img", "bitmap", "--merge", "fine", "-b", path, "-F", "qcow2", copy, "merged"});
            EXPECT_EQ(dirty_by_qemu(copy, "merged"), dirty_by_qemu(path, "fine"));
            std::filesystem::remove(copy);
            if (HasFailure()) {
                return;
            }
        }
    }
}

TEST_F(BitmapWork, FeatureNamesAreBackBehindTheBitmaps) {
    create(path, "cluster_size=64k", "1M");
    run_tool({"qemu-img", "bitmap", "--add", path, "daily"});
    const auto names = [&] {
        std::vector<std::string> result;
        const auto image = open(path);
        for (const FeatureName& feature : image->metadata().header().feature_names) {
            result.push_back(feature.name);
        }
        return result;
    };
    const auto before = names();
    ASSERT_FALSE(before.empty());
    auto image = open_for_writing(path);
    image->begin_work(2 << 20)->commit({2 << 20});
    EXPECT_EQ(names(), before);
    EXPECT_LE(open(path)->metadata().header().extensions.front().offset + 24, 512u);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST_F(BitmapWork, OnesThatAreInUseStayAsTheyAre) {
    create(path, "cluster_size=64k", "1M");
    run_tool({"qemu-img", "bitmap", "--add", path, "daily"});
    const Header header = open(path)->metadata().header();
    patch<std::uint32_t>(path, header.bitmaps->range.offset + 12, 1 | 2); // in use, recording
    auto image = open_for_writing(path);
    auto disk = image->begin_work(2 << 20);
    disk->write(0, Bytes(1 << 20, std::byte{1}));
    disk->commit({2 << 20});
    EXPECT_EQ(open(path)->metadata().header().bitmaps->range, header.bitmaps->range);
    EXPECT_TRUE(open(path)->info().bitmaps.at(0).in_use);
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
    EXPECT_THAT(run_tool({"qemu-img", "info", path}), testing::HasSubstr("in-use"));
}

TEST_F(BitmapWork, GrowthThatABitmapCannotCoverIsRefused) {
    create(path, "cluster_size=64k", "1M");
    run_tool({"qemu-img", "bitmap", "--add", "-g", "512", path, "fine"});
    auto image = open_for_writing(path);
    const Error error = error_of([&] { image->begin_work(4ull << 40); });
    EXPECT_EQ(error.code(), ErrorCode::size_impossible);
    EXPECT_THAT(error.what(), testing::HasSubstr("\"fine\""));
}

/// An extension that nobody knows, as long as asked, put before all others.
void add_unknown_extension(const std::string& path, std::uint32_t length) {
    const Header header = open(path)->metadata().header();
    Bytes list(4096 - header.header_length);
    auto file = real_doors().files.open(path, {.write = true});
    file->read(header.header_length, list);
    Bytes whole(8 + round_up(length, 8), std::byte{0x5a});
    store_big_endian<std::uint32_t>(std::span(whole), 0, 0x12345678);
    store_big_endian<std::uint32_t>(std::span(whole), 4, length);
    whole.insert(whole.end(), list.begin(), list.end() - whole.size());
    file->write(header.header_length, whole);
    if (const auto name = peek<std::uint64_t>(path, field::backing_offset); name != 0) {
        patch<std::uint64_t>(path, field::backing_offset, name + 8 + round_up(length, 8));
    }
}

TEST_F(BitmapWork, UnknownExtensionsAreKeptOrTheWorkIsRefused) {
    for (const std::uint32_t length : {30, 300, 700}) {
        SCOPED_TRACE(length);
        for (const bool bitmaps : {false, true}) {
            std::filesystem::remove(path);
            create(folder / "base.qcow2", "cluster_size=64k", "1M");
            run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", path});
            if (bitmaps) {
                run_tool({"qemu-img", "bitmap", "--add", path, "daily"});
            }
            add_unknown_extension(path, length);
            auto image = open_for_writing(path);
            const auto refused = image->refusal(Capability::merge_external);
            EXPECT_EQ(refused.has_value(), length == 700);
            EXPECT_EQ(image->refusal(Capability::grow).has_value(), length == 700 && bitmaps);
            if (refused) {
                EXPECT_THAT(refused->sentence, testing::HasSubstr("do not fit"));
                continue;
            }
            WorkCommit request{1 << 20};
            request.drop_backing = true;
            auto disk = image->begin_work(1 << 20);
            disk->write(0, Bytes(1000, std::byte{1}));
            disk->commit(request);
            const Header header = open(path)->metadata().header();
            EXPECT_EQ(header.backing_name, "");
            EXPECT_EQ(header.backing_format, "");
            const auto unknown = std::ranges::find(header.extensions, 0x12345678u, &Extension::type);
            ASSERT_NE(unknown, header.extensions.end());
            EXPECT_EQ(unknown->length, length);
            EXPECT_EQ(header.bitmaps.has_value(), bitmaps);
            EXPECT_FALSE(header.feature_names.empty());
            EXPECT_EQ(qemu_check(path).errors, 0u);
            EXPECT_THAT(run_tool({"qemu-img", "info", path}), testing::Not(testing::HasSubstr("backing")));
        }
    }
}

TEST_F(BitmapWork, ALongBackingNameStaysWhereItIs) {
    const std::string long_name(240, 'n');
    create(folder / long_name, "cluster_size=64k", "1M");
    const std::string stored = "./././" + long_name;
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", stored, "-F", "qcow2", path});
    run_tool({"qemu-img", "bitmap", "--add", path, "daily"});
    auto image = open_for_writing(path);
    auto disk = image->begin_work(2 << 20);
    disk->write(0, Bytes(1000, std::byte{1}));
    disk->commit({2 << 20});
    EXPECT_EQ(open(path)->metadata().header().backing_name, stored);
    EXPECT_EQ(open(path)->metadata().header().backing_format, "qcow2");
    EXPECT_EQ(open(path)->info().bitmaps.size(), 1u);
    EXPECT_FALSE(open(path)->metadata().header().feature_names.empty());
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

/// A file system of the host that can share blocks, for as long as this lives.
class SharingHost {
  public:
    SharingHost() {
        run_tool({"truncate", "-s", "320M", folder_ / "xfs"});
        run_tool({"mkfs.xfs", "-q", "-m", "reflink=1", folder_ / "xfs"});
        std::filesystem::create_directory(place());
        mounted_ = disktool::test::exit_status_of({"mount", "-o", "loop", folder_ / "xfs", place()}) == 0;
    }
    SharingHost(const SharingHost&) = delete;
    SharingHost& operator=(const SharingHost&) = delete;
    ~SharingHost() {
        if (mounted_) {
            disktool::test::exit_status_of({"umount", place()});
        }
    }
    bool mounted() const { return mounted_; }
    std::string place() const { return folder_ / "mounted"; }

  private:
    TemporaryFolder folder_;
    bool mounted_ = false;
};

void take_and_compare(const std::string& folder) {
    const std::string path = folder + "/disk.qcow2";
    const std::string from = folder + "/from.qcow2";
    create(from, "cluster_size=64k", "24M");
    qemu_io(from, {"write -q -P 1 0 8M", "write -q -P 2 16M 6M"});
    create(path, "cluster_size=64k", "24M");
    qemu_io(path, {"write -q -P 9 0 24M"});
    auto source = open(from);
    auto image = open_for_writing(path);
    auto disk = image->begin_work(24 << 20);
    disk->write(0, Bytes(1 << 20, std::byte{4}));
    for (const HostExtent& extent : source->host_extents({0, 24 << 20})) {
        ASSERT_TRUE(
            disk->take_from(extent.guest.offset, *extent.file, {extent.host_offset, extent.guest.length}));
    }
    EXPECT_FALSE(disk->take_from(512, source->file(), {1 << 20, 64 << 10})) << "not a whole cluster";
    disk->commit({24 << 20});
    const Bytes now = content_by_qemu(path);
    const auto is = [&](std::uint64_t start, std::uint64_t end, int value) {
        return std::all_of(now.begin() + start, now.begin() + end,
                           [&](std::byte b) { return b == static_cast<std::byte>(value); });
    };
    EXPECT_TRUE(is(0, 8 << 20, 1));
    EXPECT_TRUE(is(8 << 20, 16 << 20, 9));
    EXPECT_TRUE(is(16 << 20, 22 << 20, 2));
    EXPECT_TRUE(is(22 << 20, 24 << 20, 9));
    EXPECT_EQ(qemu_check(path), (Verdict{0, 0}));
}

TEST(TakeFrom, CopiesWhereTheHostCannotShare) {
    const TemporaryFolder folder;
    take_and_compare(folder.path().string());
}

TEST(TakeFrom, SharesBlocksWhereTheHostCan) {
    const SharingHost host;
    ASSERT_TRUE(host.mounted());
    take_and_compare(host.place());
    // A shared block is told as such by the host.
    run_tool({"sync", host.place() + "/disk.qcow2"});
    const std::string extents = run_tool({"filefrag", "-v", host.place() + "/disk.qcow2"});
    EXPECT_THAT(extents, testing::HasSubstr("shared"));
}

} // namespace

} // namespace disktool::qcow2::test
