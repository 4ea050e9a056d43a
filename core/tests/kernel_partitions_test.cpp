// SPDX-License-Identifier: LGPL-2.1-or-later
// Partitions told to the kernel, on a loop device over a file with a GPT; what uses them; a device whose
// process died.
#include "block/host_descriptor.h"
#include "device/device_state.h"
#include "device/device_users.h"
#include "device/kernel_partitions.h"
#include "device/loop_device.h"
#include "partition/table.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace disktool {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t start = MiB;

class KernelPartitionsTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0 || access("/dev/loop-control", R_OK) != 0) {
            GTEST_SKIP() << "not root, or no loop devices";
        }
        setenv("DISKTOOL_RUN", (folder_ / "run").c_str(), 1);
        test::write_file(image_, "");
        std::filesystem::resize_file(image_, 64 * MiB);
        test::run_tool({"sgdisk", "-n", "1:2048:+10M", "-n", "3:0:+20M", image_});
        attach("");
    }
    void TearDown() override {
        umount2(mount_point_.c_str(), MNT_DETACH);
        opened_.close();
        if (loop_) {
            loop_->detach();
        }
        unsetenv("DISKTOOL_RUN");
    }
    void attach(const std::string& name) {
        const Descriptor file(open(image_.c_str(), O_RDWR | O_CLOEXEC));
        loop_ = LoopDevice::attach(file.get(), {.shown_name = name, .direct_io = false});
        opened_ = loop_->open(true);
    }
    int disk() const { return opened_.get(); }
    /// As the table in the image says.
    std::vector<KernelPartition> wanted() {
        test::FileDevice device(image_);
        std::vector<KernelPartition> partitions;
        for (const Partition& partition : read_partition_table(device).partitions) {
            partitions.push_back({partition.number, partition.range});
        }
        return partitions;
    }
    static std::string text_of(const std::vector<KernelPartition>& partitions) {
        std::string text;
        for (const KernelPartition& partition : partitions) {
            text += fmt::format("{}: {}+{} ", partition.number, partition.range.offset, partition.range.length);
        }
        return text;
    }
    std::string node_of(int number) {
        for (const KernelPartition& partition : kernel_partitions(disk())) {
            if (partition.number == number) {
                const std::string node = folder_ / fmt::format("node{}", number);
                std::filesystem::remove(node);
                EXPECT_EQ(mknod(node.c_str(), S_IFBLK | 0600, partition.device_number), 0);
                return node;
            }
        }
        return "no such partition";
    }
    void mount_partition(int number) {
        const std::string node = node_of(number);
        test::run_tool({"mkfs.ext4", "-q", node});
        std::filesystem::create_directory(mount_point_);
        ASSERT_EQ(mount(node.c_str(), mount_point_.c_str(), "ext4", 0, ""), 0);
    }

    test::TemporaryFolder folder_;
    std::string image_ = folder_ / "disk.img";
    std::string mount_point_ = folder_ / "a place";
    std::unique_ptr<LoopDevice> loop_;
    Descriptor opened_;
};

TEST_F(KernelPartitionsTest, TheKernelHasThoseOfTheTable) {
    EXPECT_THAT(kernel_partitions(disk()), IsEmpty());
    const auto set = set_kernel_partitions(disk(), wanted());
    EXPECT_EQ(text_of(set), "1: 1048576+10485760 3: 11534336+20971520 ");
    EXPECT_EQ(text_of(kernel_partitions(disk())), text_of(set));
    for (const KernelPartition& partition : set) {
        const Descriptor node(open(node_of(partition.number).c_str(), O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(lseek(node.get(), 0, SEEK_END), static_cast<off_t>(partition.range.length));
    }
    set_kernel_partitions(disk(), set);
    set_kernel_partitions(disk(), {});
    EXPECT_THAT(kernel_partitions(disk()), IsEmpty());
}

TEST_F(KernelPartitionsTest, OneGrowsIntoTheRoomOfAnotherThatGoesOrShrinks) {
    set_kernel_partitions(disk(), {{1, {start, 8 * MiB}}, {2, {9 * MiB, 8 * MiB}}, {3, {17 * MiB, 8 * MiB}}});
    auto set = set_kernel_partitions(disk(), {{1, {start, 16 * MiB}}, {3, {17 * MiB, 4 * MiB}}});
    EXPECT_EQ(text_of(set), "1: 1048576+16777216 3: 17825792+4194304 ");
    set = set_kernel_partitions(disk(),
                                {{1, {start, 2 * MiB}}, {2, {3 * MiB, 14 * MiB}}, {3, {17 * MiB, 4 * MiB}}});
    EXPECT_EQ(text_of(set), "1: 1048576+2097152 2: 3145728+14680064 3: 17825792+4194304 ");
    set = set_kernel_partitions(disk(), {{7, {start, 2 * MiB}}, {2, {40 * MiB, MiB}}});
    EXPECT_EQ(text_of(set), "2: 41943040+1048576 7: 1048576+2097152 ");
}

TEST_F(KernelPartitionsTest, AMountedOneGrowsAndDoesNotMove) {
    set_kernel_partitions(disk(), {{1, {start, 16 * MiB}}, {2, {20 * MiB, MiB}}});
    mount_partition(1);
    const std::string before = text_of(kernel_partitions(disk()));
    for (const std::vector<KernelPartition>& change :
         {std::vector<KernelPartition>{{1, {2 * MiB, 16 * MiB}}}, std::vector<KernelPartition>{}}) {
        try {
            set_kernel_partitions(disk(), change);
            ADD_FAILURE() << "it was moved or removed";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::locked);
            EXPECT_THAT(error.what(), HasSubstr("Partition 1 of loop"));
        }
        EXPECT_EQ(text_of(kernel_partitions(disk())), before) << "those that could go are there again";
    }
    const auto set = set_kernel_partitions(disk(), {{1, {start, 40 * MiB}}});
    EXPECT_EQ(text_of(set), "1: 1048576+41943040 ");
    const Descriptor node(open(node_of(1).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(lseek(node.get(), 0, SEEK_END), static_cast<off_t>(40 * MiB));
    resize_kernel_partition(disk(), 1, {start, 20 * MiB});
    EXPECT_EQ(text_of(kernel_partitions(disk())), "1: 1048576+20971520 ");
}

TEST_F(KernelPartitionsTest, WhatTheKernelDoesNotTakeIsAnError) {
    EXPECT_THROW(set_kernel_partitions(disk(), {{1, {start, 8 * MiB}}, {2, {2 * MiB, 8 * MiB}}}), Error);
    EXPECT_THROW(set_kernel_partitions(disk(), {{2000, {40 * MiB, MiB}}}), Error);
    EXPECT_THROW(resize_kernel_partition(disk(), 9, {40 * MiB, MiB}), Error);
    const Descriptor no_device(open(image_.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_THROW((void)kernel_partitions(no_device.get()), Error);
}

TEST_F(KernelPartitionsTest, NodesAreMadeAndOnlyOursReplaced) {
    const auto set = set_kernel_partitions(disk(), wanted());
    const std::string node = folder_ / "ploop0p1";
    const auto number_of = [&] {
        struct stat status {};
        return lstat(node.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_rdev) : 0;
    };
    make_device_node(node, set[0].device_number, "/dev/loop0p1");
    EXPECT_EQ(number_of(), set[0].device_number);
    struct stat status {};
    ASSERT_EQ(stat(node.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFBLK | 0600u);
    make_device_node(node, set[0].device_number, "/dev/loop0p1", OldNode::refuse);
    EXPECT_THROW(make_device_node(node, set[1].device_number, "", OldNode::refuse), Error);
    make_device_node(node, set[1].device_number, "/dev/loop0p3");
    EXPECT_EQ(number_of(), set[1].device_number);
    std::filesystem::remove(node);
    std::filesystem::create_symlink("/dev/loop5", node);
    make_device_node(node, set[0].device_number, "/dev/loop0p1");
    EXPECT_EQ(number_of(), set[0].device_number);
    for (const auto& [mode, number] :
         {std::pair<mode_t, dev_t>{S_IFBLK, makedev(8, 0)}, {S_IFREG, 0}, {S_IFCHR, makedev(1, 3)}}) {
        std::filesystem::remove(node);
        ASSERT_EQ(mknod(node.c_str(), mode | 0600, number), 0);
        EXPECT_THROW(make_device_node(node, set[0].device_number, ""), Error) << mode;
        EXPECT_EQ(number_of(), number) << mode;
    }
}

TEST_F(KernelPartitionsTest, WhoUsesADeviceIsNamed) {
    set_kernel_partitions(disk(), wanted());
    const auto users = [&] { return users_of(loop_->node(), device_numbers_of(loop_->node())); };
    EXPECT_EQ(users(), "");
    EXPECT_FALSE(is_claimed(loop_->node()));
    mount_partition(1);
    EXPECT_EQ(users(), "mounted on " + mount_point_);
    EXPECT_TRUE(is_claimed(loop_->node()));
    ASSERT_EQ(umount(mount_point_.c_str()), 0);
    EXPECT_EQ(users(), "");
    const std::string node = node_of(3);
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
        const int opened = open(node.c_str(), O_RDONLY);
        (void)!write(ready[1], &opened, sizeof opened);
        for (;;) {
            pause();
        }
    }
    int opened = -1;
    ASSERT_EQ(read(ready[0], &opened, sizeof opened), static_cast<ssize_t>(sizeof opened));
    EXPECT_THAT(users(), HasSubstr(fmt::format("(process {})", child)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_EQ(users(), "");
}

/// As a process leaves it that was killed.
class DeadDeviceTest : public KernelPartitionsTest {
  protected:
    DeadDeviceTest() {
        state_.loop_name = fmt::format("disktool test {}", getpid());
        state_.backend = "fuse";
        state_.pid = 1;
    }
    void store(bool with_loop) {
        opened_.close();
        loop_->detach();
        attach(state_.loop_name);
        set_kernel_partitions(disk(), wanted());
        state_.minor = 62'000 + getpid() % 1000;
        state_.node = "/dev/" + state_.name();
        state_.loop = with_loop ? loop_->node() : "";
        state_.partitions = {{1, state_.node + "p1", 0, 0}};
        make_device_node(state_.partitions[0].node, kernel_partitions(disk())[0].device_number, "");
        DeviceNumber::take(state_.minor)->store(state_);
        test::write_file(device_file(state_.minor, "sock"), "");
        node_ = loop_->node();
    }
    /// Nothing of the device is there any more.
    bool gone() {
        struct stat status {};
        return !LoopDevice::find(node_) && !device_state(state_.minor) &&
               lstat(state_.partitions[0].node.c_str(), &status) != 0 &&
               lstat(device_file(state_.minor, "sock").c_str(), &status) != 0;
    }
    /// Our own descriptor must not count as a user.
    void let_go() {
        opened_.close();
        loop_.reset();
    }
    void TearDown() override {
        if (!loop_ && !node_.empty()) {
            umount2(mount_point_.c_str(), MNT_DETACH);
            if (auto left = LoopDevice::find(node_)) {
                left->detach();
            }
        }
        std::filesystem::remove(state_.node + "p1");
        KernelPartitionsTest::TearDown();
    }
    DeviceState state_;
    std::string node_;
};

TEST_F(DeadDeviceTest, IsRemovedWithItsLoopDevice) {
    for (const bool known : {true, false}) {
        store(known);
        let_go();
        ASSERT_TRUE(device_state(state_.minor));
        EXPECT_TRUE(remove_dead_device(*device_state(state_.minor))) << known;
        EXPECT_TRUE(gone()) << known;
        attach("");
    }
}

TEST_F(DeadDeviceTest, StaysWhileItIsMounted) {
    store(true);
    mount_partition(1);
    let_go();
    EXPECT_FALSE(remove_dead_device(*device_state(state_.minor)));
    EXPECT_TRUE(LoopDevice::find(node_));
    EXPECT_TRUE(std::filesystem::exists(state_.partitions[0].node));
    try {
        (void)DeviceNumber::take(state_.minor);
        ADD_FAILURE() << "a mounted device was given away";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::locked);
        EXPECT_THAT(error.what(), HasSubstr("unmount it"));
    }
    ASSERT_EQ(umount(mount_point_.c_str()), 0);
    EXPECT_TRUE(remove_dead_device(*device_state(state_.minor)));
    EXPECT_TRUE(gone());
}

TEST_F(DeadDeviceTest, ALoopDeviceOfOthersIsLeftAlone) {
    store(true);
    loop_info64 info{};
    ASSERT_EQ(ioctl(disk(), LOOP_GET_STATUS64, &info), 0);
    info.lo_file_name[0] = 'D';
    ASSERT_EQ(ioctl(disk(), LOOP_SET_STATUS64, &info), 0);
    EXPECT_TRUE(remove_dead_device(*device_state(state_.minor)));
    EXPECT_TRUE(LoopDevice::find(node_)) << "another one has its number now";
    EXPECT_FALSE(device_state(state_.minor));
}

} // namespace
} // namespace disktool
