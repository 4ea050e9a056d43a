// SPDX-License-Identifier: LGPL-2.1-or-later
// What commands on mounted disks are made of, as far as it needs no device.
#include "balloon_file.h"
#include "balloon_space.h"
#include "delta.h"
#include "maintenance.h"
#include "ploop_error.h"
#include "stored_clusters.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace disktool::ploop::cli {
namespace {

using disktool::test::TemporaryFolder;
using disktool::test::write_file;
using ::testing::HasSubstr;

int exit_of(const std::function<void()>& action, std::string* message = nullptr) {
    try {
        action();
    } catch (const Error& error) {
        if (message != nullptr) {
            *message = error.what();
        }
        return exit_code_of(error);
    }
    return 0;
}

// --- how large a balloon

TEST(BalloonSpace, LeavesWhatADiskOfThatSizeHad) {
    BalloonSpace space;
    space.size = 1000 * MiB;
    space.tables = 16 * MiB;
    space.free = 700 * MiB;
    // 4 clusters are not for the file system, and the inode tables of the large one do not count against it.
    EXPECT_EQ(space.for_disk(504 * MiB, MiB), 484 * MiB);
    EXPECT_EQ(space.for_disk(1004 * MiB, MiB), 0u);
    EXPECT_EQ(space.for_disk(5000 * MiB, MiB), 0u);
}

TEST(BalloonSpace, TheSmallestDiskIsOneThatCanBe) {
    for (const std::uint64_t cluster : {32 * KiB, MiB, 64 * MiB}) {
        for (const std::uint64_t free : {0 * MiB, 3 * MiB, 333 * MiB + 4096, 990 * MiB}) {
            for (const std::uint64_t balloon : {0 * MiB, 5 * MiB + 4096}) {
                BalloonSpace space{balloon, 1000 * MiB, 16 * MiB, free};
                const std::uint64_t smallest = space.smallest_disk(cluster);
                EXPECT_EQ(smallest % cluster, 0u);
                EXPECT_GT(smallest, 4 * cluster);
                EXPECT_LE(space.for_disk(smallest, cluster), balloon + free);
                if (smallest > 5 * cluster) {
                    EXPECT_GT(space.for_disk(smallest - cluster, cluster) + cluster, balloon + free);
                }
            }
        }
    }
}

// --- the balloon file

class Balloon : public ::testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) {
            GTEST_SKIP() << "the balloon is root's";
        }
    }
    void TearDown() override { set_flags(0); }
    int flags() const {
        int value = -1;
        const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        return ioctl(file.get(), FS_IOC_GETFLAGS, &value) == 0 ? value : -1;
    }
    void set_flags(int value) const {
        const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        (void)ioctl(file.get(), FS_IOC_SETFLAGS, &value);
    }

    TemporaryFolder folder_;
    std::string root_ = folder_.path().string();
    std::string path_ = root_ + "/" + std::string(balloon_name);
};

TEST_F(Balloon, IsMadeWhenItIsNeeded) {
    BalloonFile balloon(root_);
    EXPECT_EQ(balloon.size(), 0u);
    balloon.resize(0);
    EXPECT_FALSE(balloon.exists());
    balloon.resize(3 * MiB);
    EXPECT_EQ(balloon.size(), 3 * MiB);
    EXPECT_GE(balloon.allocated(), 3 * MiB);
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    balloon.resize(MiB);
    EXPECT_EQ(balloon.size(), MiB);
    EXPECT_LT(balloon.allocated(), 2 * MiB);
    balloon.resize(0);
    EXPECT_EQ(balloon.size(), 0u);
    EXPECT_EQ(balloon.allocated(), 0u);
}

TEST_F(Balloon, NobodyElseChangesIt) {
    BalloonFile(root_).resize(MiB);
    if (flags() < 0) {
        GTEST_SKIP() << "this file system has no attributes";
    }
    EXPECT_NE(flags() & FS_IMMUTABLE_FL, 0);
    EXPECT_NE(truncate(path_.c_str(), 0), 0);
    EXPECT_NE(unlink(path_.c_str()), 0);
    BalloonFile(root_).resize(2 * MiB);
    EXPECT_NE(flags() & FS_IMMUTABLE_FL, 0);
    // Also when it could not be inflated.
    EXPECT_EQ(exit_of([&] { BalloonFile(root_).resize(std::uint64_t{1} << 60); }), 20);
    EXPECT_NE(flags() & FS_IMMUTABLE_FL, 0);
    EXPECT_EQ(BalloonFile(root_).size(), 2 * MiB);
}

TEST_F(Balloon, HolesAreFilled) {
    BalloonFile(root_).resize(MiB);
    set_flags(0);
    ASSERT_EQ(truncate(path_.c_str(), 0), 0);
    ASSERT_EQ(truncate(path_.c_str(), MiB), 0);
    BalloonFile balloon(root_);
    EXPECT_EQ(balloon.allocated(), 0u);
    balloon.resize(MiB);
    EXPECT_GE(balloon.allocated(), MiB);
}

TEST_F(Balloon, WhatAGuestPutsInItsPlaceIsRefused) {
    const std::string victim = root_ + "/victim";
    write_file(victim, "precious");
    const auto expect_refused = [&](const char* what) {
        std::string message;
        EXPECT_EQ(exit_of([&] { BalloonFile(root_).resize(MiB); }, &message), 38) << what;
        EXPECT_THAT(message, HasSubstr("not the balloon")) << what;
        EXPECT_EQ(exit_of([&] { (void)BalloonFile(root_).size(); }), 38) << what;
        std::filesystem::remove(path_);
    };
    std::filesystem::create_symlink(victim, path_);
    expect_refused("a link");
    std::filesystem::create_hard_link(victim, path_);
    expect_refused("another name of a file");
    std::filesystem::create_directory(path_);
    expect_refused("a folder");
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    expect_refused("a pipe");
    write_file(path_, "");
    ASSERT_EQ(chown(path_.c_str(), 1000, 1000), 0);
    expect_refused("a file of another user");
    EXPECT_EQ(std::filesystem::file_size(victim), 8u);
}

// --- clusters below it

TEST(StoredClusters, CountsWholeOnesThatTheImageHas) {
    TemporaryFolder folder;
    const std::string path = (folder.path() / "image").string();
    constexpr std::uint64_t cluster = 64 * 512;
    FileDoor& files = real_doors().files;
    Delta::create(*files.open(path, {.write = true, .create = true}),
                  {.disk_sectors = 100 * 64, .cluster_sectors = 64});
    {
        const auto delta = Delta::open(files.open(path, {.write = true}), Access::write);
        delta->begin();
        const std::vector<std::byte> data(cluster, std::byte{1});
        for (const std::uint64_t number : {3, 4, 5, 50, 99}) {
            delta->allocate(number, data);
        }
        delta->end();
    }
    const auto image = files.open(path, {});
    const auto count = [&](const std::vector<Range>& ranges) { return stored_clusters(*image, ranges); };
    EXPECT_EQ(count({}), 0u);
    EXPECT_EQ(count({{0, 100 * cluster}}), 5u);
    EXPECT_EQ(count({{0, UINT64_MAX / 2}}), 5u) << "what lies behind the disk is not looked for";
    EXPECT_EQ(count({{3 * cluster + 1, 3 * cluster}}), 2u) << "the first and the last are covered in part";
    EXPECT_EQ(count({{50 * cluster + 4096, cluster - 4096}, {50 * cluster, 4096}}), 1u) << "two pieces of one";
    EXPECT_EQ(count({{6 * cluster, 40 * cluster}}), 0u);
}

// --- one at a time

TEST(MaintenanceLock, TellsWhoIsAtWork) {
    TemporaryFolder folder;
    setenv("DISKTOOL_RUN", folder.path().c_str(), 1);
    EXPECT_EQ(Maintenance::present(3), std::nullopt);
    {
        const Maintenance work(3, "DISCARD");
        EXPECT_THAT(Maintenance::present(3).value_or(""), HasSubstr("DISCARD"));
        EXPECT_EQ(Maintenance::present(4), std::nullopt);
        std::string message;
        EXPECT_EQ(exit_of([] { const Maintenance second(3, "RESIZE"); }, &message), 17);
        EXPECT_THAT(message, HasSubstr("DISCARD"));
    }
    EXPECT_EQ(Maintenance::present(3), std::nullopt);
    const Maintenance again(3, "RESIZE");
    unsetenv("DISKTOOL_RUN");
}

} // namespace
} // namespace disktool::ploop::cli
