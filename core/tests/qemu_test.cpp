// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/qemu.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <functional>

namespace disktool {
namespace {

using test::run_tool;
using testing::HasSubstr;

std::uint64_t virtual_size(const std::string& path) {
    const std::string text = run_tool({"qemu-img", "info", "--output=json", "-U", path});
    return nlohmann::json::parse(text).at("virtual-size").get<std::uint64_t>();
}

class QemuImgResize : public testing::Test {
  protected:
    QemuImgResize() { run_tool({"qemu-img", "create", "-q", "-f", "qcow2", image_, "64M"}); }

    void resize(const std::string& path, std::uint64_t size) {
        qemu_img_resize(real_doors(), path, "qcow2", size, nullptr);
    }
    static Error error_of(const std::function<void()>& action) {
        try {
            action();
        } catch (const Error& error) {
            return error;
        }
        throw std::runtime_error("no error");
    }

    test::TemporaryFolder folder_;
    const std::string image_ = folder_ / "disk.qcow2";
};

TEST_F(QemuImgResize, MakesTheDiskLarger) {
    resize(image_, 96 * MiB);
    EXPECT_EQ(virtual_size(image_), 96 * MiB);
}

TEST_F(QemuImgResize, TakesNamesThatLookLikeProtocols) {
    const std::string odd = folder_ / "-nbd:unix,a=b:c.qcow2";
    run_tool({"cp", image_, odd});
    resize(odd, 80 * MiB);
    EXPECT_EQ(virtual_size(odd), 80 * MiB);
}

TEST_F(QemuImgResize, SaysWhatQemuSaid) {
    const Error error = error_of([&] { resize(image_, 32 * MiB); });
    EXPECT_EQ(error.code(), ErrorCode::failure);
    EXPECT_THAT(error.what(), HasSubstr(image_));
    EXPECT_THAT(error.what(), HasSubstr("--shrink"));
    EXPECT_EQ(virtual_size(image_), 64 * MiB);
}

TEST_F(QemuImgResize, SaysWhoHoldsTheLock) {
    const auto holder = NbdDevice::open(real_doors(), image_, "qcow2", {.writable = true});
    const Error error = error_of([&] { resize(image_, 96 * MiB); });
    EXPECT_EQ(error.code(), ErrorCode::locked);
    EXPECT_EQ(error.reason(), Reason::image_in_use);
    EXPECT_THAT(error.what(), HasSubstr("(qemu-nbd)"));
}

TEST_F(QemuImgResize, SaysThatTheHostIsFull) {
    const std::string small = folder_ / "small";
    run_tool({"mkdir", small});
    run_tool({"mount", "-t", "tmpfs", "-o", "size=512k", "none", small});
    const std::string image = small + "/disk.qcow2";
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", image, "1M"});
    const Error error = error_of([&] { resize(image, 64 * TiB); }); // an L1 table of 1 MiB
    run_tool({"umount", small});
    EXPECT_EQ(error.code(), ErrorCode::no_space);
    EXPECT_THAT(error.what(), HasSubstr(image));
}

TEST_F(QemuImgResize, NamesThePackageOfAMissingProgram) {
    const std::string path = std::getenv("PATH");
    setenv("PATH", folder_.path().c_str(), 1);
    const Error error = error_of([&] { resize(image_, 96 * MiB); });
    setenv("PATH", path.c_str(), 1);
    EXPECT_EQ(error.code(), ErrorCode::program_missing);
    EXPECT_THAT(error.what(), HasSubstr("qemu-img is not installed"));
    EXPECT_THAT(error.what(), HasSubstr("package qemu-utils"));
}

} // namespace
} // namespace disktool
