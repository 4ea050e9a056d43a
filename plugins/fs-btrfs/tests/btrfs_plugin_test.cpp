// SPDX-License-Identifier: LGPL-2.1-or-later
// Recognition, and what is told of a file system, against blkid and btrfs inspect-internal dump-super.
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <sstream>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

std::string blkid(const std::string& path, const std::string& tag) {
    std::string value = dt::run_tool({"blkid", "-p", "-o", "value", "-s", tag, path});
    while (value.ends_with('\n'))
        value.pop_back();
    return value;
}

std::string dumped(const std::string& path, const std::string& field) {
    std::istringstream lines(dt::run_tool({"btrfs", "inspect-internal", "dump-super", path}));
    for (std::string line; std::getline(lines, line);)
        if (std::istringstream words(line); line.starts_with(field + "\t")) {
            std::string value;
            words >> value >> value;
            return value;
        }
    throw std::runtime_error("dump-super says nothing of " + field);
}

template <class T>
T detail(const Details& details, const std::string& name) {
    for (const auto& [key, value] : details)
        if (key == name)
            return std::get<T>(value);
    throw std::runtime_error("no detail " + name);
}

} // namespace

class Kind : public testing::TestWithParam<Recipe> {};

TEST_P(Kind, IsToldAsOthersTellIt) {
    MadeFilesystem made(GetParam());
    Opened opened(made.path());
    EXPECT_EQ(Plugin().probe(opened.device), 100);
    EXPECT_EQ(opened->type(), blkid(made.path(), "TYPE"));
    const FilesystemUsage usage = opened->usage();
    EXPECT_EQ(usage.label, blkid(made.path(), "LABEL"));
    EXPECT_EQ(usage.uuid, blkid(made.path(), "UUID"));
    EXPECT_EQ(usage.block_size, std::stoull(dumped(made.path(), "sectorsize")));
    EXPECT_EQ(usage.size, std::stoull(dumped(made.path(), "total_bytes")));
    EXPECT_EQ(detail<std::uint64_t>(opened->details(), "node_bytes"),
              std::stoull(dumped(made.path(), "nodesize")));
    EXPECT_EQ(detail<std::uint64_t>(opened->details(), "generation"),
              std::stoull(dumped(made.path(), "generation")));
    EXPECT_EQ(detail<std::uint64_t>(opened->details(), "allocated_bytes"),
              std::stoull(dumped(made.path(), "dev_item.bytes_used")));
    EXPECT_EQ(opened->can_grow(), Reason::none);
    EXPECT_EQ(opened->can_shrink(), Reason::none);
    EXPECT_FALSE(opened->resizes_natively());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Kind,
    testing::Values(Recipe{"defaults", 256, "-L one"}, Recipe{"mixed", 128, "--mixed -L two"},
                    Recipe{"nodes_64k", 256, "-n 64k"}, Recipe{"short", 300, "-b 209715200 -L \xc3\xa4"},
                    Recipe{"xxhash", 256, "--csum xxhash"}, Recipe{"sha256", 256, "--csum sha256"},
                    Recipe{"blake2", 256, "--csum blake2"}),
    [](const auto& test) { return test.param.name; });

TEST(Details, NameWhatItIs) {
    MadeFilesystem made({"dup", 256, "--csum xxhash"});
    const Details details = Opened(made.path())->details();
    EXPECT_EQ(detail<std::string>(details, "checksum"), "xxhash64");
    EXPECT_EQ(detail<std::string>(details, "profiles"), "data, single; metadata, DUP; system, DUP");
    EXPECT_EQ(detail<std::string>(details, "free_map"), "free-space tree");
    EXPECT_NE(detail<std::string>(details, "features").find("skinny-metadata"), std::string::npos);
    EXPECT_EQ(detail<std::uint64_t>(details, "superblock_mirrors"), 1u);
}

TEST(Probe, OtherContentIsNotIts) {
    dt::MemoryDevice empty(MiB);
    EXPECT_EQ(Plugin().probe(empty), 0);
    dt::MemoryDevice tiny(1000);
    EXPECT_EQ(Plugin().probe(tiny), 0);
    const std::string magic = "_BHRfS_M";
    empty.write(65600, std::as_bytes(std::span(magic)));
    EXPECT_EQ(Plugin().probe(empty), 0); // by chance
    try {
        Plugin().open(tiny);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unsupported);
        EXPECT_EQ(error.reason(), Reason::filesystem_not_supported);
    }
}

} // namespace disktool::btrfs::test
