// SPDX-License-Identifier: LGPL-2.1-or-later
// What an image says of itself, compared with `qemu-img info`, and what it refuses.
#include "plugin.h"
#include "test_images.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace disktool::qcow2::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json qemu_info(const std::string& path) {
    return json::parse(run_tool({"qemu-img", "info", "-U", "--output=json", "-f", "qcow2", path}));
}

DetailValue detail(const ImageInfo& info, const std::string& name) {
    const auto found = std::find_if(info.details.begin(), info.details.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    if (found == info.details.end()) {
        ADD_FAILURE() << "there is no detail " << name;
        return false;
    }
    return found->second;
}

class InfoTest : public testing::TestWithParam<ImageCase> {};

TEST_P(InfoTest, SaysWhatQemuSays) {
    const TemporaryFolder folder;
    const std::string path = GetParam().make(folder);
    const auto image = open(path);
    const ImageInfo& info = image->info();
    const json theirs = qemu_info(path);
    const json& data = theirs.at("format-specific").at("data");
    EXPECT_EQ(info.format, "qcow2");
    EXPECT_EQ(info.virtual_size, theirs.at("virtual-size"));
    EXPECT_EQ(info.cluster_size, theirs.at("cluster-size"));
    EXPECT_EQ(info.dirty, theirs.at("dirty-flag"));
    EXPECT_EQ(info.file_size, std::filesystem::file_size(path));
    if (!data.contains("data-file")) { // QEMU leaves the data file out of it
        EXPECT_EQ(info.allocated, theirs.at("actual-size"));
    }
    EXPECT_EQ(std::get<std::string>(detail(info, "compat")), data.at("compat"));
    EXPECT_EQ(std::get<std::string>(detail(info, "compression_type")), data.value("compression-type", "zlib"));
    EXPECT_EQ(std::get<bool>(detail(info, "lazy_refcounts")), data.value("lazy-refcounts", false));
    EXPECT_EQ(std::get<bool>(detail(info, "extended_l2")), data.value("extended-l2", false));
    EXPECT_EQ(std::get<std::uint64_t>(detail(info, "refcount_bits")), data.at("refcount-bits"));
    EXPECT_EQ(info.data_file, data.value("data-file", ""));
    if (!info.data_file.empty()) {
        EXPECT_EQ(std::get<bool>(detail(info, "data_file_raw")), data.at("data-file-raw"));
    }
    if (theirs.contains("backing-filename")) {
        EXPECT_EQ(std::get<std::string>(detail(info, "backing_name")), theirs.at("backing-filename"));
        EXPECT_EQ(std::get<std::string>(detail(info, "backing_format")), theirs.at("backing-filename-format"));
    }
    const json snapshots = theirs.value("snapshots", json::array());
    ASSERT_EQ(info.snapshots.size(), snapshots.size());
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
        EXPECT_EQ(info.snapshots[i].id, snapshots[i].at("id"));
        EXPECT_EQ(info.snapshots[i].name, snapshots[i].at("name"));
        EXPECT_EQ(info.snapshots[i].created, snapshots[i].at("date-sec"));
        EXPECT_EQ(info.snapshots[i].vm_state_size, snapshots[i].at("vm-state-size"));
        EXPECT_EQ(info.snapshots[i].virtual_size, info.virtual_size);
    }
}

INSTANTIATE_TEST_SUITE_P(Images, InfoTest, testing::ValuesIn(image_cases()),
                         [](const auto& tested) { return tested.param.name; });

/// An image of one MiB with what a test does to it.
class ImageTest : public testing::Test {
  protected:
    ImageTest() { create(path_, "compat=1.1", "1M"); }
    Refusal refusal(Capability capability) {
        const auto refusal = open(path_)->refusal(capability);
        EXPECT_TRUE(refusal);
        return refusal.value_or(Refusal{});
    }
    const TemporaryFolder folder_;
    const std::string path_ = folder_ / "disk.qcow2";
};

TEST_F(ImageTest, CanGrowAndBeCompacted) {
    const auto image = open(path_);
    EXPECT_FALSE(image->refusal(Capability::grow));
    EXPECT_FALSE(image->refusal(Capability::compact));
    EXPECT_FALSE(image->refusal(Capability::check));
}

TEST_F(ImageTest, CanBeMadeSmallerMergedAndConverted) {
    const auto image = open(path_);
    for (const Capability capability :
         {Capability::shrink, Capability::merge_internal, Capability::merge_external, Capability::convert}) {
        EXPECT_FALSE(image->refusal(capability));
    }
    EXPECT_EQ(refusal(Capability::snapshot).reason, Reason::capability_missing);
    EXPECT_THAT(refusal(Capability::snapshot).sentence, HasSubstr("qemu-img snapshot -c"));
}

TEST_F(ImageTest, WithSnapshotsDoesNotGrow) {
    for (const char* name : {"before update", "b\x1b[2J", "c", "d", "e", "f", "g"}) {
        run_tool({"qemu-img", "snapshot", "-c", name, path_});
    }
    const Refusal refused = refusal(Capability::grow);
    EXPECT_EQ(refused.reason, Reason::internal_snapshots);
    EXPECT_THAT(refused.sentence, HasSubstr("Image has internal snapshots. Merge snapshots to proceed."));
    EXPECT_THAT(refused.sentence, HasSubstr("\"before update\" (id 1), \"b?[2J\" (id 2)"));
    EXPECT_THAT(refused.sentence, HasSubstr("and 2 more"));
    EXPECT_THAT(refused.sentence, HasSubstr("prl_disk_tool merge --hdd " + path_));
    for (const Capability capability : {Capability::shrink, Capability::merge_external, Capability::convert}) {
        EXPECT_EQ(refusal(capability).reason, Reason::internal_snapshots);
    }
    EXPECT_FALSE(open(path_)->refusal(Capability::compact));
    EXPECT_FALSE(open(path_)->refusal(Capability::merge_internal));
}

TEST_F(ImageTest, ThatIsDirtyOrCorruptIsNotChanged) {
    patch(path_, field::incompatible_features, incompatible::dirty);
    EXPECT_TRUE(open(path_)->info().dirty);
    for (const Capability capability : {Capability::grow, Capability::compact}) {
        EXPECT_EQ(refusal(capability).reason, Reason::image_dirty);
        EXPECT_THAT(refusal(capability).sentence, HasSubstr("qemu-img check -r all"));
    }
    patch(path_, field::incompatible_features, incompatible::corrupt);
    EXPECT_TRUE(open(path_)->info().corrupt);
    EXPECT_EQ(refusal(Capability::grow).reason, Reason::image_corrupt);
    EXPECT_EQ(error_of([&] { open(path_)->estimate_compact({}); }).code(), ErrorCode::damaged);
}

TEST_F(ImageTest, EncryptedIsRecognisedAndNotRead) {
    std::filesystem::remove(path_);
    run_tool({"qemu-img", "create", "-q", "--object", "secret,id=key,data=abcdef", "-f", "qcow2", "-o",
              "encrypt.format=aes,encrypt.key-secret=key", path_, "1M"});
    const auto image = open(path_);
    EXPECT_TRUE(image->info().encrypted);
    EXPECT_EQ(std::get<std::string>(detail(image->info(), "encryption")), "aes");
    EXPECT_EQ(refusal(Capability::grow).reason, Reason::encrypted);
    EXPECT_EQ(refusal(Capability::compact).reason, Reason::encrypted);
    const Error error = error_of([&] { image->device(); });
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_EQ(error.reason(), Reason::encrypted);
}

TEST_F(ImageTest, HeaderOfLuksIsFound) {
    // QEMU measures its key derivation and fails at random where the host's CPU clock is coarse.
    int status = 1;
    for (int attempt = 0; attempt < 30 && status != 0; ++attempt) {
        std::filesystem::remove(path_);
        status = disktool::test::exit_status_of(
            {"qemu-img", "create", "-q", "--object", "secret,id=key,data=abcdef", "-f", "qcow2", "-o",
             "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10", path_, "1M"});
    }
    ASSERT_EQ(status, 0);
    const auto image = open(path_);
    EXPECT_EQ(std::get<std::string>(detail(image->info(), "encryption")), "luks");
    const auto header = image->metadata().header().encryption_header;
    ASSERT_TRUE(header);
    EXPECT_EQ(peek<std::uint32_t>(path_, header->offset), 0x4c554b53u) << "\"LUKS\"";
}

TEST_F(ImageTest, WithADataFileIsOnlyRead) {
    std::filesystem::remove(path_);
    create(path_, "data_file=" + (folder_ / "disk.data"), "1M");
    EXPECT_EQ(refusal(Capability::grow).reason, Reason::external_data_file);
    EXPECT_EQ(refusal(Capability::compact).reason, Reason::external_data_file);
}

TEST_F(ImageTest, NamesItsFeatures) {
    std::filesystem::remove(path_);
    create(path_, "lazy_refcounts=on,extended_l2=on,compression_type=zstd", "1M");
    EXPECT_EQ(std::get<std::string>(detail(open(path_)->info(), "features")),
              "compression type, extended L2 entries, lazy refcounts");
}

TEST_F(ImageTest, ListsItsBitmaps) {
    qemu_io(path_, {"write -q -P 1 0 1M"});
    run_tool({"qemu-img", "bitmap", "--add", "-g", "32k", path_, "daily"});
    run_tool({"qemu-img", "bitmap", "--add", "--disable", path_, "kept"});
    qemu_io(path_, {"write -q -P 2 100k 1k"});
    const auto image = open(path_);
    const auto& bitmaps = image->info().bitmaps;
    ASSERT_EQ(bitmaps.size(), 2u);
    EXPECT_EQ(bitmaps[0].name, "daily");
    EXPECT_EQ(bitmaps[0].granularity, 32 * KiB);
    EXPECT_TRUE(bitmaps[0].recording);
    EXPECT_FALSE(bitmaps[0].in_use);
    EXPECT_EQ(bitmaps[1].name, "kept");
    EXPECT_EQ(bitmaps[1].granularity, 64 * KiB);
    EXPECT_FALSE(bitmaps[1].recording);

    std::vector<std::uint64_t> clusters;
    for_each_bitmap_cluster(image->file(), image->metadata().header(), image->bitmaps()[0],
                            [&](std::uint64_t offset) { clusters.push_back(offset); });
    ASSERT_EQ(clusters.size(), 1u);
    EXPECT_EQ(peek<std::uint8_t>(path_, clusters[0]), 1u << 3) << "the bit of 96 KiB to 128 KiB";
}

TEST_F(ImageTest, DamagedBitmaps) {
    run_tool({"qemu-img", "bitmap", "--add", path_, "daily"});
    const std::uint64_t entry = open(path_)->metadata().header().bitmaps->range.offset;
    const auto expect_damaged = [&](const std::string& says) {
        const Error error = error_of([&] { open(path_); });
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_THAT(error.what(), HasSubstr(says));
    };
    const auto good = peek<std::uint64_t>(path_, entry);
    patch(path_, entry, good + 8);
    expect_damaged("the table of bitmap 0");
    patch(path_, entry, good);
    patch(path_, entry + 8, std::uint32_t{0});
    expect_damaged("has a table of 0 entries");
    patch(path_, entry + 8, std::uint32_t{1});
    patch(path_, entry + 17, std::uint8_t{200});
    expect_damaged("has the granularity 2^200");
    patch(path_, entry + 17, std::uint8_t{16});
    patch(path_, entry + 20, std::uint32_t{0xffffffff});
    expect_damaged("does not end within the directory");
}

TEST_F(ImageTest, DamagedSnapshots) {
    run_tool({"qemu-img", "snapshot", "-c", "one", path_});
    const auto entry = peek<std::uint64_t>(path_, field::snapshot_offset);
    const auto expect_damaged = [&](const std::string& says) {
        const Error error = error_of([&] { open(path_); });
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_THAT(error.what(), HasSubstr(says));
    };
    const auto good = peek<std::uint64_t>(path_, entry);
    patch(path_, entry, good + 512);
    expect_damaged("the L1 table of snapshot 0");
    patch(path_, entry, good);
    patch(path_, entry + 8, std::uint32_t{0xffffffff});
    expect_damaged("has an L1 table of 4294967295 entries");
    patch(path_, entry + 8, std::uint32_t{1});
    patch(path_, entry + 36, std::uint32_t{0xffffffff});
    expect_damaged("has 4294967295 bytes of extra data");
}

TEST(PluginTest, ProbesByItsMagic) {
    Plugin plugin;
    const std::vector<std::byte> ours = {std::byte{'Q'}, std::byte{'F'}, std::byte{'I'}, std::byte{0xfb}};
    const std::vector<std::byte> other(512);
    EXPECT_EQ(plugin.probe(ours, "x"), 100);
    EXPECT_EQ(plugin.probe(other, "x"), 0);
    EXPECT_EQ(plugin.probe({}, "x"), 0);
}

TEST(PluginTest, CreatesAnEmptyImage) {
    const TemporaryFolder folder;
    Plugin plugin;
    const std::string path = folder / "new.qcow2";
    plugin.create(real_doors(),
                  {path, 3 * GiB, {{"cluster_size", std::uint64_t{2 * MiB}}, {"extended_l2", true}}});
    const json info = qemu_info(path);
    EXPECT_EQ(info.at("virtual-size"), 3 * GiB);
    EXPECT_EQ(info.at("cluster-size"), 2 * MiB);
    EXPECT_EQ(info.at("format-specific").at("data").at("extended-l2"), true);
    EXPECT_THAT(error_of([&] {
                    plugin.create(real_doors(), {path, GiB, {}});
                }).what(),
                HasSubstr("exists already"));
    EXPECT_EQ(qemu_info(path).at("virtual-size"), 3 * GiB);
}

} // namespace
} // namespace disktool::qcow2::test
