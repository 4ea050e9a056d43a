// SPDX-License-Identifier: LGPL-2.1-or-later
// What a loop device takes of discards, and what stays of that for the next one who gets its number.
#include "block/host_descriptor.h"
#include "device/fuse_disk.h"
#include "device/loop_device.h"
#include "support/file_device.h"
#include "support/temporary_folder.h"

#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace disktool {
namespace {

class LoopQueueTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0 || access("/dev/loop-control", R_OK) != 0 || access("/dev/fuse", W_OK) != 0) {
            GTEST_SKIP() << "not root, no loop devices, or no FUSE";
        }
        test::write_file(image_, std::string(4 * MiB, 'x'));
    }
    std::unique_ptr<LoopDevice> attach(bool discard) {
        const Descriptor file(open(image_.c_str(), O_RDWR | O_CLOEXEC));
        LoopOptions options;
        options.direct_io = false;
        options.discard = discard;
        return LoopDevice::attach(file.get(), options);
    }
    static std::uint64_t queue(const LoopDevice& loop, const std::string& name) {
        std::ifstream file(fmt::format("/sys/block/loop{}/queue/{}", loop.number(), name));
        std::uint64_t value = ~0ULL;
        file >> value;
        return value;
    }
    /// 0 or errno.
    static int discard(const LoopDevice& loop) {
        std::uint64_t range[2] = {0, MiB};
        return ioctl(loop.open(true).get(), BLKDISCARD, range) == 0 ? 0 : errno;
    }
    std::uint64_t allocated() const {
        struct stat status {};
        return stat(image_.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
    }

    test::TemporaryFolder folder_;
    std::string image_ = folder_ / "disk.img";
};

TEST_F(LoopQueueTest, DiscardsPunchHolesUnlessTheyAreRefused) {
    auto loop = attach(false);
    EXPECT_TRUE(loop->refuses_discards());
    EXPECT_EQ(discard(*loop), EOPNOTSUPP);
    EXPECT_GE(allocated(), 4 * MiB);
    const int number = loop->number();
    EXPECT_TRUE(loop->detach());
    // Here it would be spoilt for all who come later.
    loop = attach(true);
    EXPECT_FALSE(loop->refuses_discards()) << "loop" << loop->number() << " after loop" << number;
    EXPECT_EQ(discard(*loop), 0);
    EXPECT_LE(allocated(), 3 * MiB);
    EXPECT_FALSE(LoopDevice::renew(loop->number())) << "it is attached";
    EXPECT_TRUE(loop->detach());
}

TEST_F(LoopQueueTest, ARenewedNumberIsAsNew) {
    const auto loop = attach(false);
    const std::uint64_t usual = queue(*loop, "max_sectors_kb");
    loop->set_queue("max_sectors_kb", 64);
    EXPECT_TRUE(loop->detach());
    if (!LoopDevice::renew(loop->number())) {
        GTEST_SKIP() << "another program was faster";
    }
    const Descriptor file(open(image_.c_str(), O_RDWR | O_CLOEXEC));
    const auto next = attach(true);
    EXPECT_GE(queue(*next, "max_sectors_kb"), usual);
    EXPECT_GT(queue(*next, "discard_max_bytes"), 0u);
    EXPECT_TRUE(next->detach());
}

TEST_F(LoopQueueTest, TheUnitOfDiscardsIsThatOfTheDisk) {
    test::FileDevice device(image_, Access::write);
    FuseDiskOptions options;
    options.discard_unit = MiB;
    const auto disk = FuseDisk::serve(device, options);
    const Descriptor file(disk->open_file(true));
    const auto loop = LoopDevice::attach(file.get(), LoopOptions{});
    EXPECT_EQ(queue(*loop, "discard_granularity"), MiB);
    EXPECT_GT(queue(*loop, "discard_max_bytes"), 0u);
    EXPECT_EQ(discard(*loop), 0);
    EXPECT_LE(allocated(), 3 * MiB);
    EXPECT_TRUE(loop->detach());
}

} // namespace
} // namespace disktool
