// SPDX-License-Identifier: LGPL-2.1-or-later
// File systems that are kept still: until they are thawed, whatever happens, and wherever they are mounted.
#include "block/host_descriptor.h"
#include "device/device_freezer.h"
#include "device/loop_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>

namespace disktool {
namespace {

class DeviceFreezerTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0 || access("/dev/loop-control", R_OK) != 0) {
            GTEST_SKIP() << "not root, or no loop devices";
        }
        test::write_file(image_, "");
        std::filesystem::resize_file(image_, 64 * MiB);
        const Descriptor file(open(image_.c_str(), O_RDWR | O_CLOEXEC));
        loop_ = LoopDevice::attach(file.get(), {.shown_name = "", .direct_io = false});
        test::run_tool({"mkfs.ext4", "-q", loop_->node()});
        std::filesystem::create_directory(point_);
    }
    void TearDown() override {
        if (loop_) {
            thaw_left_frozen(numbers());
            umount2(point_.c_str(), MNT_DETACH);
            umount2(point_.c_str(), MNT_DETACH);
            loop_->detach();
        }
    }
    void mount_it() { ASSERT_EQ(mount(loop_->node().c_str(), point_.c_str(), "ext4", 0, ""), 0); }
    std::vector<std::uint64_t> numbers() const { return device_numbers_of(loop_->node()); }
    std::function<std::vector<std::uint64_t>()> asking() {
        return [this] { return numbers(); };
    }
    /// Asked of the kernel: a frozen one cannot be frozen again.
    bool frozen() {
        const Descriptor root(open(point_.c_str(), O_RDONLY | O_CLOEXEC));
        if (ioctl(root.get(), FIFREEZE, 0) == 0) {
            ioctl(root.get(), FITHAW, 0);
            return false;
        }
        EXPECT_EQ(errno, EBUSY);
        return true;
    }

    test::TemporaryFolder folder_;
    std::string image_ = folder_ / "disk.img";
    std::string point_ = folder_ / "a place";
    std::unique_ptr<LoopDevice> loop_;
};

TEST_F(DeviceFreezerTest, WritersWaitUntilItIsThawed) {
    mount_it();
    DeviceFreezer freezer(asking());
    const auto mounts = freezer.freeze();
    ASSERT_EQ(mounts.size(), 1u);
    EXPECT_EQ(mounts[0].point, point_);
    EXPECT_EQ(mounts[0].filesystem, "ext4");
    std::array<int, 2> done{};
    ASSERT_EQ(pipe(done.data()), 0);
    const pid_t writer = fork();
    if (writer == 0) {
        test::write_file(point_ + "/new", "written");
        (void)!write(done[1], "y", 1);
        _exit(0);
    }
    usleep(300'000);
    fcntl(done[0], F_SETFL, O_NONBLOCK);
    char letter = 0;
    EXPECT_EQ(read(done[0], &letter, 1), -1) << "it wrote to a frozen file system";
    freezer.thaw();
    waitpid(writer, nullptr, 0);
    EXPECT_EQ(read(done[0], &letter, 1), 1);
    EXPECT_FALSE(frozen());
}

TEST_F(DeviceFreezerTest, IsFrozenUntilThawedAsOften) {
    mount_it();
    {
        DeviceFreezer freezer(asking());
        freezer.thaw();
        freezer.freeze();
        freezer.freeze();
        freezer.thaw();
        EXPECT_TRUE(frozen());
        freezer.thaw();
        EXPECT_FALSE(frozen());
        freezer.thaw();
        freezer.freeze();
        EXPECT_TRUE(frozen());
    }
    EXPECT_FALSE(frozen()) << "it has gone";
}

TEST_F(DeviceFreezerTest, AFrozenOneCannotBeUnmounted) {
    mount_it();
    DeviceFreezer freezer(asking());
    freezer.freeze();
    EXPECT_EQ(umount(point_.c_str()), -1);
    EXPECT_EQ(errno, EBUSY);
    freezer.thaw();
    EXPECT_EQ(umount(point_.c_str()), 0);
}

TEST_F(DeviceFreezerTest, WhatOthersHaveFrozenStaysFrozen) {
    mount_it();
    const Descriptor root(open(point_.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(ioctl(root.get(), FIFREEZE, 0), 0);
    DeviceFreezer freezer(asking());
    EXPECT_EQ(freezer.freeze().size(), 1u);
    freezer.thaw();
    EXPECT_TRUE(frozen());
    thaw_left_frozen(numbers());
    EXPECT_FALSE(frozen());
    thaw_left_frozen(numbers());
}

TEST_F(DeviceFreezerTest, WithoutAMountThereIsNothingToDo) {
    DeviceFreezer freezer(asking());
    EXPECT_TRUE(freezer.freeze().empty());
    freezer.thaw();
}

TEST_F(DeviceFreezerTest, TheOneBehindAnotherMountIsFoundAndNotTheOther) {
    mount_it();
    const std::string other = folder_ / "another place";
    std::filesystem::create_directory(other);
    ASSERT_EQ(mount(point_.c_str(), other.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(mount("none", point_.c_str(), "tmpfs", 0, ""), 0);
    DeviceFreezer freezer(asking());
    const auto mounts = freezer.freeze();
    ASSERT_EQ(mounts.size(), 1u);
    EXPECT_EQ(mounts[0].point, other);
    test::write_file(point_ + "/file", "the tmpfs is not frozen");
    ASSERT_EQ(umount(point_.c_str()), 0);
    EXPECT_TRUE(frozen());
    freezer.thaw();
    EXPECT_FALSE(frozen());
    ASSERT_EQ(umount(other.c_str()), 0);
}

TEST_F(DeviceFreezerTest, OneInAnotherMountNameSpaceIsFound) {
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
        const std::string node = loop_->node();
        loop_.reset();
        const bool mounted = unshare(CLONE_NEWNS) == 0 &&
                             mount("none", "/", nullptr, MS_REC | MS_PRIVATE, "") == 0 &&
                             mount(node.c_str(), point_.c_str(), "ext4", 0, "") == 0;
        (void)!write(ready[1], &mounted, 1);
        for (;;) {
            pause();
        }
    }
    bool mounted = false;
    ASSERT_EQ(read(ready[0], &mounted, 1), 1);
    EXPECT_TRUE(mounted);
    EXPECT_TRUE(mounts_of(numbers()).empty());
    EXPECT_THAT(users_of(loop_->node(), numbers()),
                testing::HasSubstr(fmt::format("mounted on {} in another mount name space", point_)));
    DeviceFreezer freezer(asking());
    const auto mounts = freezer.freeze();
    ASSERT_EQ(mounts.size(), 1u);
    EXPECT_EQ(mounts[0].point, point_);
    const Descriptor there(open((mounts[0].reach + point_).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(ioctl(there.get(), FIFREEZE, 0), -1) << "it is frozen";
    freezer.thaw();
    EXPECT_EQ(ioctl(there.get(), FIFREEZE, 0), 0);
    EXPECT_EQ(ioctl(there.get(), FITHAW, 0), 0);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

} // namespace
} // namespace disktool
