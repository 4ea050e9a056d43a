// SPDX-License-Identifier: LGPL-2.1-or-later
// extents() against `qemu-img map --output=json`.
#include "test_images.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace disktool::qcow2::test {
namespace {

struct Flags {
    Range range;
    bool data = false;
    friend bool operator==(const Flags&, const Flags&) = default;
    friend void PrintTo(const Flags& flags, std::ostream* out) {
        *out << flags.range.offset << "+" << flags.range.length << (flags.data ? " data" : " zero");
    }
};

void append(std::vector<Flags>& list, Flags next) {
    if (!list.empty() && list.back().data == next.data && list.back().range.end() == next.range.offset) {
        list.back().range.length += next.range.length;
    } else {
        list.push_back(next);
    }
}

std::vector<Flags> from_qemu(const std::string& path) {
    std::vector<Flags> result;
    for (const auto& line :
         nlohmann::json::parse(run_tool({"qemu-img", "map", "-U", "--output=json", "-f", "qcow2", path}))) {
        const bool data = line.at("data");
        const Range range{line.at("start"), line.at("length")};
        if (!range.empty()) { // a disk of no size has one line, of no length
            EXPECT_TRUE(data || line.at("zero").get<bool>())
                << "neither data nor zero: our three kinds do not fit";
            append(result, {range, data});
        }
    }
    return result;
}

std::vector<Flags> merged(const std::vector<Extent>& extents) {
    std::vector<Flags> result;
    for (const Extent& extent : extents) {
        append(result, {extent.range, extent.kind == ExtentKind::data});
    }
    return result;
}

class ExtentsTest : public testing::TestWithParam<ImageCase> {};

TEST_P(ExtentsTest, EqualTheMapOfQemu) {
    const TemporaryFolder folder;
    const std::string path = GetParam().make(folder);
    const auto image = open(path);
    BlockDevice& device = image->device();
    const std::vector<Extent> whole = device.extents({0, device.size()});
    EXPECT_EQ(merged(whole), from_qemu(path));

    // A window of the disk gives the same as the cut of the whole, whatever its borders.
    const std::uint64_t step = device.size() / 37 + 1001;
    std::vector<Extent> joined;
    for (std::uint64_t offset = 0; offset < device.size(); offset += step) {
        for (const Extent& extent : device.extents({offset, std::min(step, device.size() - offset)})) {
            if (!joined.empty() && joined.back().kind == extent.kind) {
                ASSERT_EQ(joined.back().range.end(), extent.range.offset);
                joined.back().range.length += extent.range.length;
            } else {
                joined.push_back(extent);
            }
        }
    }
    EXPECT_EQ(joined, whole);
}

INSTANTIATE_TEST_SUITE_P(Images, ExtentsTest, testing::ValuesIn(image_cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(Extents, TellZeroFromUnallocated) {
    const TemporaryFolder folder;
    const std::string path = folder / "disk.qcow2";
    create(path, "compat=1.1", "1M");
    qemu_io(path, {"write -q -P 1 64k 64k", "write -q -z 128k 64k"});
    EXPECT_EQ(open(path)->device().extents({0, MiB}),
              (std::vector<Extent>{{{0, 64 * KiB}, ExtentKind::unallocated},
                                   {{64 * KiB, 64 * KiB}, ExtentKind::data},
                                   {{128 * KiB, 64 * KiB}, ExtentKind::zero},
                                   {{192 * KiB, MiB - 192 * KiB}, ExtentKind::unallocated}}));
}

/// The topmost image that says anything decides: zeros over data, data over zeros.
TEST(Extents, OfAChainAreDecidedFromTheTop) {
    const TemporaryFolder folder;
    create(folder / "base.qcow2", "cluster_size=64k", "1M");
    qemu_io(folder / "base.qcow2", {"write -q -P 1 0 256k", "write -q -z 256k 256k"});
    run_tool(
        {"qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", folder / "top.qcow2"});
    qemu_io(folder / "top.qcow2", {"write -q -z 128k 128k", "write -q -P 2 384k 64k"});
    EXPECT_EQ(open(folder / "top.qcow2")->device().extents({0, MiB}),
              (std::vector<Extent>{{{0, 128 * KiB}, ExtentKind::data},
                                   {{128 * KiB, 256 * KiB}, ExtentKind::zero},
                                   {{384 * KiB, 64 * KiB}, ExtentKind::data},
                                   {{448 * KiB, 64 * KiB}, ExtentKind::zero},
                                   {{512 * KiB, 512 * KiB}, ExtentKind::unallocated}}));
}

} // namespace
} // namespace disktool::qcow2::test
