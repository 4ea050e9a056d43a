// SPDX-License-Identifier: LGPL-2.1-or-later
// Our locks against those of the real QEMU and of flock(1).
#include "image/locks.h"
#include "lock_holder.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

namespace disktool {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class LocksTest : public testing::Test {
  protected:
    LocksTest() { test::run_tool({"qemu-img", "create", "-q", "-f", "qcow2", image_, "64M"}); }

    std::unique_ptr<File> open() { return real_doors().files.open(image_, {.write = true}); }
    CommandResult qemu_writes() {
        return test::result_of({"qemu-io", "-f", "qcow2", "-c", "write -q 0 512", image_});
    }
    CommandResult qemu_reads() { return test::result_of({"qemu-img", "info", image_}); }
    /// What taking the lock says when someone has it; "taken" when nobody has.
    std::string refusal(Access access, ImageLock::Wait wait = std::nullopt) {
        const std::unique_ptr<File> file = open();
        try {
            const ImageLock lock(*file, access, wait, nullptr);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::locked);
            EXPECT_EQ(error.reason(), Reason::image_in_use);
            return error.what();
        }
        return "taken";
    }
    std::string conflict_with(int pid, const std::string& program) {
        return fmt::format("The specified disk image \"{}\" is locked by another process: pid {} ({})", image_,
                           pid, program);
    }

    test::TemporaryFolder folder_;
    std::string image_ = folder_ / "disk.qcow2";
};

TEST_F(LocksTest, AWriterShutsQemuOutUntilItEnds) {
    const std::unique_ptr<File> file = open();
    {
        const ImageLock lock(*file, Access::write, std::nullopt, nullptr);
        const CommandResult writing = qemu_writes();
        EXPECT_NE(writing.exit_status, 0);
        EXPECT_THAT(writing.errors + writing.output, HasSubstr("Failed to get \"write\" lock"));
        const CommandResult reading = qemu_reads();
        EXPECT_NE(reading.exit_status, 0);
        EXPECT_THAT(reading.errors, HasSubstr("Failed to get shared \"write\" lock"));
    }
    EXPECT_TRUE(qemu_reads().ok());
    EXPECT_EQ(qemu_writes().errors, "");
}

TEST_F(LocksTest, AReaderLetsReadersInAndWritersOut) {
    const std::unique_ptr<File> file = open();
    const ImageLock lock(*file, Access::read, std::nullopt, nullptr);
    EXPECT_FALSE(lock.writer_present());
    EXPECT_TRUE(qemu_reads().ok());
    const CommandResult writing = qemu_writes();
    EXPECT_NE(writing.exit_status, 0);
    EXPECT_THAT(writing.errors + writing.output, HasSubstr("Failed to get \"write\" lock"));
}

TEST_F(LocksTest, ARunningQemuIsNamedToAWriterAndNoticedByAReader) {
    const test::LockHolderProcess qemu = test::qemu_on(image_);
    EXPECT_EQ(refusal(Access::write), conflict_with(qemu.pid(), "qemu-nbd"));

    const std::unique_ptr<File> file = open();
    const ImageLock lock(*file, Access::read, std::nullopt, nullptr);
    EXPECT_TRUE(lock.writer_present());
    EXPECT_EQ(holders_text(lock.writers()), fmt::format("pid {} (qemu-nbd)", qemu.pid()));
}

TEST_F(LocksTest, AReadingQemuKeepsWritersOutAndIsNoWriter) {
    const test::LockHolderProcess qemu = test::qemu_on(image_, true);
    EXPECT_EQ(refusal(Access::write), conflict_with(qemu.pid(), "qemu-nbd"));
    const std::unique_ptr<File> file = open();
    EXPECT_FALSE(ImageLock(*file, Access::read, std::nullopt, nullptr).writer_present());
}

TEST_F(LocksTest, BesideAWriterAReaderClaimsNothingOfQemus) {
    std::optional<test::LockHolderProcess> qemu(test::qemu_on(image_));
    const std::unique_ptr<File> file = open();
    const ImageLock lock(*file, Access::read, std::nullopt, nullptr);
    ASSERT_TRUE(lock.writer_present());
    qemu.reset();
    EXPECT_TRUE(qemu_writes().ok()); // the VM may be started again while we still read
}

TEST_F(LocksTest, FlockIsSeenToo) {
    {
        const test::LockHolderProcess other = test::flock_on(image_, true);
        EXPECT_THAT(refusal(Access::write), HasSubstr(fmt::format("pid {} (flock)", other.pid())));
        EXPECT_THAT(refusal(Access::read), HasSubstr(fmt::format("pid {} (flock)", other.pid())));
    }
    const test::LockHolderProcess other = test::flock_on(image_, false);
    EXPECT_THAT(refusal(Access::write), HasSubstr(fmt::format("pid {} (flock)", other.pid())));
    EXPECT_EQ(refusal(Access::read), "taken");
}

TEST_F(LocksTest, WhoOnlyHasTheFileOpenIsNotAHolder) {
    Command command;
    command.arguments = {"sh", "-c", "exec 3<\"$0\"; echo; exec sleep 60", image_};
    const std::unique_ptr<Process> opener = real_doors().processes.start(command);
    const test::LockHolderProcess other = test::flock_on(image_, true);
    ASSERT_TRUE(opener->running());
    EXPECT_THAT(refusal(Access::write), Not(HasSubstr(fmt::format("pid {} ", opener->pid()))));
}

TEST_F(LocksTest, WithinThisProcessTwoDoNotGetInEachOthersWayUnnoticed) {
    const std::unique_ptr<File> file = open();
    const ImageLock lock(*file, Access::write, std::nullopt, nullptr);
    EXPECT_THAT(refusal(Access::read), HasSubstr("a process that /proc does not show"));
}

TEST_F(LocksTest, LentToAChildTheFlockStays) {
    const std::unique_ptr<File> file = open();
    ImageLock lock(*file, Access::write, std::nullopt, nullptr);
    lock.release_qemu_bytes();
    EXPECT_TRUE(qemu_writes().ok());
    EXPECT_NE(refusal(Access::write), "taken");
    lock.retake_qemu_bytes();
    EXPECT_FALSE(qemu_writes().ok());
    lock.retake_qemu_bytes(); // they are there already
}

TEST_F(LocksTest, TakingBackNoticesWhoCameInBetween) {
    const std::unique_ptr<File> file = open();
    ImageLock lock(*file, Access::write, std::nullopt, nullptr);
    lock.release_qemu_bytes();
    const test::LockHolderProcess qemu = test::qemu_on(image_);
    try {
        lock.retake_qemu_bytes();
        ADD_FAILURE() << "took the bytes that QEMU holds";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), conflict_with(qemu.pid(), "qemu-nbd"));
    }
}

TEST_F(LocksTest, WaitsForTheHolderToEnd) {
    const test::LockHolderProcess other = test::flock_on(image_, true, "0.5");
    EXPECT_EQ(refusal(Access::write, 20s), "taken");
}

TEST_F(LocksTest, WaitsNoLongerThanTold) {
    const test::LockHolderProcess other = test::flock_on(image_, true);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_NE(refusal(Access::write, 1s), "taken");
    EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(LocksTest, WaitingForEverCanBeCancelled) {
    const test::LockHolderProcess other = test::flock_on(image_, true);
    const std::unique_ptr<File> file = open();
    CancelToken token;
    std::thread user([&] {
        std::this_thread::sleep_for(300ms);
        token.cancel();
    });
    try {
        const ImageLock lock(*file, Access::write, 0s, &token);
        ADD_FAILURE() << "took a lock that another process has";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted);
    }
    user.join();
}

TEST_F(LocksTest, LeftOnTheFileUntilItIsClosed) {
    std::unique_ptr<File> file = open();
    ImageLock::take_until_closed(*file, Access::write, std::nullopt, nullptr);
    EXPECT_NE(refusal(Access::write), "taken");
    EXPECT_FALSE(qemu_reads().ok());
    file.reset();
    EXPECT_EQ(refusal(Access::write), "taken");
    EXPECT_TRUE(qemu_reads().ok());
}

} // namespace
} // namespace disktool
