// SPDX-License-Identifier: LGPL-2.1-or-later
// What qemu-img finds in an image says whether the device did what it was told.
#include "engine/qemu.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <sstream>

namespace disktool {
namespace {

using test::run_tool;
using testing::HasSubstr;

constexpr std::uint64_t cluster = 64 * KiB;
constexpr std::uint64_t disk_size = 64 * MiB;

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
    std::mt19937_64 generator(seed);
    std::vector<std::byte> result(count);
    for (std::byte& byte : result)
        byte = static_cast<std::byte>(generator());
    return result;
}

/// qemu-img map in our words.
std::vector<Extent> map_of(const std::string& image) {
    std::vector<Extent> result;
    for (const auto& part : nlohmann::json::parse(run_tool({"qemu-img", "map", "--output=json", image}))) {
        const Range range{part.at("start").get<std::uint64_t>(), part.at("length").get<std::uint64_t>()};
        const ExtentKind kind = part.at("zero").get<bool>() && !part.at("data").get<bool>()
                                    ? ExtentKind::unallocated
                                    : ExtentKind::data;
        if (!result.empty() && result.back().kind == kind)
            result.back().range.length += range.length;
        else
            result.push_back({range, kind});
    }
    return result;
}

Error error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error;
    }
    throw std::runtime_error("no error");
}

/// All processes that we started and that still run.
std::vector<int> children() {
    std::vector<int> result;
    std::istringstream text(test::result_of({"sh", "-c", "cat /proc/$PPID/task/*/children; echo $$"}).output);
    for (int pid = 0; text >> pid;)
        result.push_back(pid);
    const int shell = result.back();
    std::erase(result, shell);
    return result;
}

class NbdDeviceTest : public testing::Test {
  protected:
    NbdDeviceTest() {
        run_tool({"qemu-img", "create", "-q", "-f", "qcow2", image_, std::to_string(disk_size)});
    }

    std::unique_ptr<NbdDevice> open(bool writable, CancelToken* cancel = nullptr) {
        return NbdDevice::open(real_doors(), image_, "qcow2", {.writable = writable, .cancel = cancel});
    }
    /// What the guest would read, by qemu-img.
    std::vector<std::byte> content(const std::string& format = "qcow2") {
        const std::string raw = folder_ / "content.raw";
        run_tool({"qemu-img", "convert", "-f", format, "-O", "raw", image_, raw});
        const std::string text = test::read_file(raw);
        const auto bytes = std::as_bytes(std::span(text));
        return {bytes.begin(), bytes.end()};
    }
    void expect_clean() { EXPECT_EQ(test::exit_status_of({"qemu-img", "check", "-q", image_}), 0); }

    test::TemporaryFolder folder_;
    const std::string image_ = folder_ / "disk.qcow2";
};

TEST_F(NbdDeviceTest, WritesWhatQemuImgReads) {
    std::vector<std::byte> expected(disk_size);
    const auto put = [&](BlockDevice& device, std::uint64_t offset, std::size_t length) {
        const std::vector<std::byte> data = random_bytes(length, static_cast<unsigned>(offset));
        device.write(offset, data);
        std::copy(data.begin(), data.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
    };
    const auto device = open(true);
    EXPECT_EQ(device->size(), disk_size);
    EXPECT_EQ(device->name(), "disk.qcow2");
    put(*device, 0, 512);
    put(*device, 12345, 3 * MiB + 7);
    put(*device, 20 * MiB, 40 * MiB); // more than one request takes
    put(*device, disk_size - 1, 1);
    device->zero({30 * MiB + 1, 5 * MiB});
    std::fill_n(expected.begin() + 30 * MiB + 1, 5 * MiB, std::byte{0});
    std::vector<std::byte> read(disk_size);
    device->read(0, read);
    EXPECT_TRUE(read == expected);
    device->close();
    EXPECT_TRUE(content() == expected);
    expect_clean();
}

TEST_F(NbdDeviceTest, GivesDiscardedClustersBack) {
    run_tool({"qemu-io", "-f", "qcow2", "-c", "write -P 7 0 32M", image_});
    const auto device = open(true);
    const std::vector<Extent> written{{{0, 32 * MiB}, ExtentKind::data},
                                      {{32 * MiB, 32 * MiB}, ExtentKind::unallocated}};
    EXPECT_EQ(device->extents({0, disk_size}), written);
    device->discard({2 * cluster, 16 * MiB});
    const std::vector<Extent> left = device->extents({0, disk_size});
    const std::vector<Extent> expected{{{0, 2 * cluster}, ExtentKind::data},
                                       {{2 * cluster, 16 * MiB}, ExtentKind::unallocated},
                                       {{2 * cluster + 16 * MiB, 16 * MiB - 2 * cluster}, ExtentKind::data},
                                       {{32 * MiB, 32 * MiB}, ExtentKind::unallocated}};
    EXPECT_EQ(left, expected);
    device->close();
    EXPECT_EQ(map_of(image_), expected);
    const auto blocks = real_doors().files.status(image_)->allocated;
    EXPECT_LT(blocks, 17 * MiB);
    expect_clean();
}

TEST_F(NbdDeviceTest, KeepsClustersWhenToldNotToDiscard) {
    run_tool({"qemu-io", "-f", "qcow2", "-c", "write -P 7 0 32M", image_});
    const auto device = NbdDevice::open(real_doors(), image_, "qcow2", {.writable = true, .discard = false});
    device->discard({0, 16 * MiB});
    device->close();
    EXPECT_EQ(map_of(image_).front().range.length, 32 * MiB);
}

TEST_F(NbdDeviceTest, TellsExtentsOfAnyRange) {
    for (const char* write :
         {"write -P 1 1M 64k", "write -P 2 1088k 64k", "write -z 8M 1M", "write -P 3 63M 1M"})
        run_tool({"qemu-io", "-f", "qcow2", "-c", write, image_});
    const auto device = open(false);
    EXPECT_EQ(device->extents({0, disk_size}), map_of(image_));
    const std::vector<Extent> some{{{MiB - 100, 100}, ExtentKind::unallocated},
                                   {{MiB, 128 * KiB - 5}, ExtentKind::data}};
    EXPECT_EQ(device->extents({MiB - 100, 100 + 128 * KiB - 5}), some);
    EXPECT_TRUE(device->extents({MiB, 0}).empty());
}

TEST_F(NbdDeviceTest, TellsExtentsBeyondWhatOneRequestCovers) {
    run_tool({"qemu-img", "resize", "-q", image_, "5G"});
    run_tool({"qemu-io", "-f", "qcow2", "-c", "write 4500M 1M", image_});
    EXPECT_EQ(open(false)->extents({0, 5 * GiB}), map_of(image_));
}

TEST_F(NbdDeviceTest, ServesRawImagesAtAnyAlignment) {
    run_tool({"qemu-img", "create", "-q", "-f", "raw", image_, std::to_string(disk_size)});
    const std::vector<std::byte> data = random_bytes(100'001, 5);
    const auto device = NbdDevice::open(real_doors(), image_, "raw", {.writable = true});
    device->write(777, data);
    std::vector<std::byte> read(data.size() - 3);
    device->read(778, read);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), data.begin() + 1));
    device->close();
    const std::vector<std::byte> all = content("raw");
    EXPECT_TRUE(std::equal(data.begin(), data.end(), all.begin() + 777));
    EXPECT_EQ(all[776], std::byte{0});
    EXPECT_EQ(all[777 + data.size()], std::byte{0});
}

TEST_F(NbdDeviceTest, ChangesNothingWhenOpenedForReading) {
    const std::string before = test::read_file(image_);
    const auto device = open(false);
    EXPECT_FALSE(device->writable());
    const std::vector<std::byte> data(512);
    EXPECT_EQ(error_of([&] { device->write(0, data); }).code(), ErrorCode::unsupported);
    EXPECT_EQ(error_of([&] { device->discard({0, cluster}); }).code(), ErrorCode::unsupported);
    EXPECT_EQ(error_of([&] { device->zero({0, cluster}); }).code(), ErrorCode::unsupported);
    device->close();
    EXPECT_TRUE(test::read_file(image_) == before);
}

TEST_F(NbdDeviceTest, RefusesWhatLiesBeyondTheEnd) {
    const auto device = open(true);
    std::vector<std::byte> data(2);
    EXPECT_EQ(error_of([&] { device->read(disk_size - 1, data); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { device->write(disk_size - 1, data); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { device->discard({disk_size, 1}); }).code(), ErrorCode::damaged);
    EXPECT_EQ(error_of([&] { device->extents({~0ull, 2}); }).code(), ErrorCode::damaged);
}

TEST_F(NbdDeviceTest, SaysWhoHoldsTheLock) {
    const auto first = open(true);
    const Error error = error_of([&] { open(true); });
    EXPECT_EQ(error.code(), ErrorCode::locked);
    EXPECT_EQ(error.reason(), Reason::image_in_use);
    EXPECT_THAT(error.what(), HasSubstr(image_));
    EXPECT_THAT(error.what(), HasSubstr("(qemu-nbd)"));
}

TEST_F(NbdDeviceTest, SaysWhatQemuNbdSaid) {
    test::write_file(image_, "no image");
    const Error error = error_of([&] { open(false); });
    EXPECT_EQ(error.code(), ErrorCode::failure);
    EXPECT_THAT(error.what(), HasSubstr("Image is not in qcow2 format"));
}

TEST_F(NbdDeviceTest, NamesThePackageOfAMissingProgram) {
    const std::string path = std::getenv("PATH");
    setenv("PATH", folder_.path().c_str(), 1);
    const Error error = error_of([&] { open(false); });
    setenv("PATH", path.c_str(), 1);
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_THAT(error.what(), HasSubstr("qemu-nbd is not installed"));
    EXPECT_THAT(error.what(), HasSubstr("package qemu-utils"));
}

TEST_F(NbdDeviceTest, DoesWithoutDirectIoWhereTheHostCannot) {
    const std::string mount = folder_ / "ramfs";
    run_tool({"mkdir", mount});
    run_tool({"mount", "-t", "ramfs", "none", mount});
    const std::string image = mount + "/disk.qcow2";
    run_tool({"cp", image_, image});
    const std::vector<std::byte> data = random_bytes(cluster, 9);
    std::vector<std::byte> read(data.size());
    {
        const auto device = NbdDevice::open(real_doors(), image, "qcow2", {.writable = true});
        device->write(cluster, data);
        device->close();
        NbdDevice::open(real_doors(), image, "qcow2", {})->read(cluster, read);
    }
    run_tool({"umount", mount});
    EXPECT_TRUE(read == data);
}

TEST_F(NbdDeviceTest, StopsOpeningWhenCancelled) {
    CancelToken cancel;
    cancel.cancel();
    EXPECT_EQ(error_of([&] { open(true, &cancel); }).code(), ErrorCode::interrupted);
    EXPECT_TRUE(children().empty());
}

TEST_F(NbdDeviceTest, SaysWhenTheServerIsGone) {
    const auto device = open(true);
    const std::vector<int> running = children();
    ASSERT_EQ(running.size(), 1);
    kill(running.front(), SIGKILL);
    std::vector<std::byte> data(512);
    const Error error = error_of([&] { device->read(4096, data); });
    EXPECT_EQ(error.code(), ErrorCode::failure);
    EXPECT_THAT(error.what(), HasSubstr(image_));
    EXPECT_THAT(error.what(), HasSubstr("exit status 137"));
    EXPECT_EQ(error_of([&] { device->close(); }).code(), ErrorCode::failure);
}

TEST_F(NbdDeviceTest, LeavesNothingBehind) {
    // A name longer than a socket's address may be.
    const std::filesystem::path temporary = folder_.path() / std::string(150, 'x');
    std::filesystem::create_directory(temporary);
    const char* const before = std::getenv("TMPDIR");
    const std::string saved = before ? before : "";
    setenv("TMPDIR", temporary.c_str(), 1);
    auto device = open(true);
    EXPECT_TRUE(std::filesystem::is_empty(temporary));
    EXPECT_EQ(children().size(), 1);
    if (before)
        setenv("TMPDIR", saved.c_str(), 1);
    else
        unsetenv("TMPDIR");
    device->write(0, random_bytes(cluster, 3));
    device.reset(); // without close()
    EXPECT_TRUE(children().empty());
    expect_clean();
}

} // namespace
} // namespace disktool
