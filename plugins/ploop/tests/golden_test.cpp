// SPDX-License-Identifier: LGPL-2.1-or-later
// Images made by the original, read through this engine: the guest must see what it saw there. golden.tar.zst
// holds a few; where DISKTOOL_GOLDEN names a folder with all of them (manifest.json, and the images or
// ploop-images.tar.zst), they are read, too.
#include "made_delta.h"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace disktool::ploop::engine_test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using disktool::test::run_tool;
using disktool::test::TemporaryFolder;

/// What the original takes though something in it is wrong, and we, too: it does not touch the content.
const std::set<std::string> harmless = {
    "bad-inuse-other", // closed, if strangely
    "bad-inuse-v21",    "bad-v2-emptyflag0", "bad-v2-hdrflag",
    "bad-v2-beyond", // slots behind the last one are no entries
    "bad-v2-beyond320",
};

std::unique_ptr<ChainDevice> open_stack(const fs::path& folder, const Json& files, bool dirty_too) {
    constexpr std::string_view raw_mark = "raw:";
    std::vector<std::unique_ptr<Delta>> deltas;
    for (std::string name : files) {
        const bool raw = name.starts_with(raw_mark);
        if (raw) {
            name.erase(0, raw_mark.size());
        }
        auto file = real_doors().files.open((folder / name).string(), {});
        deltas.push_back(raw ? Delta::open_raw(std::move(file), Access::read, 64)
                             : Delta::open(std::move(file), Access::read, dirty_too));
    }
    return std::make_unique<ChainDevice>(std::move(deltas), folder.string());
}

/// Only what is data is copied, so extents() is looked at as well.
std::string sha256_of(ChainDevice& disk) {
    const TemporaryFolder folder;
    const auto file = real_doors().files.open(folder / "disk", {.write = true, .create = true});
    file->truncate(disk.size());
    for (const Extent& extent : disk.extents({0, disk.size()})) {
        if (extent.kind == ExtentKind::data) {
            Bytes bytes(extent.range.length);
            disk.read(extent.range.offset, bytes);
            file->write(extent.range.offset, bytes);
        }
    }
    const std::string line = run_tool({"sha256sum", folder / "disk"});
    return line.substr(0, line.find(' '));
}

void compare(const fs::path& images, const Json& manifest) {
    ASSERT_GT(manifest.size(), 10u);
    for (const auto& [name, one] : manifest.items()) {
        for (const auto& [uuid, stack] : one.at("stacks").items()) {
            SCOPED_TRACE(name + " " + uuid + ": " + one.at("what").get<std::string>());
            const auto open = [&](bool dirty_too) {
                return open_stack(images / name, stack.at("files"), dirty_too);
            };
            if (name.starts_with("bad-") && !harmless.contains(name)) {
                try {
                    open(true);
                    ADD_FAILURE() << "it was taken";
                } catch (const Error& error) {
                    EXPECT_EQ(error.code(), ErrorCode::damaged) << error.what();
                }
                continue;
            }
            const bool dirty = name.starts_with("dirty-");
            if (dirty) {
                EXPECT_THROW(open(false), Error);
            }
            try {
                const auto disk = open(dirty);
                EXPECT_EQ(disk->size(), stack.at("raw_size").get<std::uint64_t>());
                EXPECT_EQ(sha256_of(*disk), stack.at("raw_sha256").get<std::string>());
            } catch (const Error& error) {
                ADD_FAILURE() << error.what();
            }
        }
    }
}

Json read_json(const fs::path& path) {
    return Json::parse(disktool::test::read_file(path.string()));
}

TEST(PloopGolden, TheGuestSeesWhatTheOriginalShowedIt) {
    const fs::path here = fs::path(DISKTOOL_SOURCE_DIR) / "plugins/ploop/tests";
    const TemporaryFolder folder;
    run_tool({"tar", "--zstd", "-xSf", (here / "golden.tar.zst").string(), "-C", folder.path().string()});
    compare(folder.path(), read_json(here / "golden.json"));
}

TEST(PloopGolden, AllOfThem) {
    const char* where = std::getenv("DISKTOOL_GOLDEN");
    if (where == nullptr) {
        GTEST_SKIP() << "DISKTOOL_GOLDEN names no folder";
    }
    fs::path images = where;
    const TemporaryFolder folder;
    if (const fs::path archive = images / "ploop-images.tar.zst"; fs::exists(archive)) {
        run_tool({"tar", "--zstd", "-xSf", archive.string(), "-C", folder.path().string()});
        images = folder.path();
    }
    compare(images, read_json(fs::path(where) / "manifest.json"));
}

/// A new image of ours is, byte by byte, one of the original's.
TEST(PloopGolden, ANewImageIsTheOriginals) {
    const fs::path here = fs::path(DISKTOOL_SOURCE_DIR) / "plugins/ploop/tests";
    const TemporaryFolder folder;
    run_tool({"tar", "--zstd", "-xSf", (here / "golden.tar.zst").string(), "-C", folder.path().string()});
    EXPECT_TRUE(*made_content({.disk_sectors = 20480}) == stored(folder / "ok-v2-empty-1M/root.hds"));
    EXPECT_TRUE(*made_content({.disk_sectors = 20032, .cluster_sectors = 64}) ==
                stored(folder / "ok-v2-unaligned-size/root.hds"));
}

} // namespace
} // namespace disktool::ploop::engine_test
