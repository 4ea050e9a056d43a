// SPDX-License-Identifier: LGPL-2.1-or-later
// How large a file system would become, against what resize2fs makes of it.
#include "made_filesystem.h"

#include <disktool/size.h>

#include <gtest/gtest.h>

namespace disktool::ext4::test {

namespace dt = disktool::test;

namespace {

std::uint64_t told(const std::string& path) {
    const Opened opened(path);
    for (const auto& [key, value] : opened.filesystem->details())
        if (key == "grown_bytes")
            return std::get<std::uint64_t>(value);
    throw std::runtime_error("no detail grown_bytes");
}

std::uint64_t size_now(const MadeFilesystem& made) {
    return std::stoull(made.header("Block count")) * std::stoull(made.header("Block size"));
}

} // namespace

class Growth : public testing::TestWithParam<Recipe> {};

TEST_P(Growth, IsWhatResize2fsMakes) {
    // Groups of 8 MiB: the ends of some, by and by.
    for (const std::uint64_t more : {0, 3, 500, 8192, 8193, 8300, 8500, 9000, 16383, 16500, 24700}) {
        MadeFilesystem made(GetParam());
        made.truncate((GetParam().kib + more) * KiB);
        const std::uint64_t expected = told(made.path());
        dt::run_tool({"e2fsck", "-f", "-p", made.path()});
        dt::run_tool({"resize2fs", made.path(), std::to_string(made.size() / 512) + "s"});
        EXPECT_EQ(size_now(made), expected) << more << " KiB more";
        EXPECT_EQ(told(made.path()), expected) << "it is as large as it can be";
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Growth,
                         testing::Values(Recipe{"ext4", 24576, "-t ext4 -b 1024"},
                                         Recipe{"ext4_of_one_group", 5000, "-t ext4 -b 1024"},
                                         Recipe{"ext3", 24576, "-t ext3 -b 1024"},
                                         Recipe{"ext2_odd", 20003, "-t ext2 -b 1024"},
                                         Recipe{"ext4_32bit", 24576, "-t ext4 -b 1024 -O ^64bit"}),
                         [](const auto& test) { return test.param.name; });

} // namespace disktool::ext4::test
