// SPDX-License-Identifier: LGPL-2.1-or-later
// Locks against another process: with flock as the original takes it, with byte ranges as newer ones do.
#include "descriptor_lock.h"
#include "ploop_error.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

namespace disktool::ploop {
namespace {

using disktool::test::TemporaryFolder;
using disktool::test::write_file;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

struct flock bytes(short type, off_t first, off_t length) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = first;
    range.l_len = length;
    return range;
}

/// A process that has the file open, has done `take` with it, and lives until this goes.
class OtherProcess {
  public:
    OtherProcess(const std::string& path, const std::function<bool(int)>& take) {
        int ready[2];
        if (pipe(ready) != 0) {
            throw std::runtime_error("no pipe");
        }
        pid_ = fork();
        if (pid_ == 0) {
            const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            const char answer = file >= 0 && take(file) ? 'y' : 'n';
            if (write(ready[1], &answer, 1) == 1) {
                pause();
            }
            _exit(0);
        }
        char answer = 0;
        const bool told = read(ready[0], &answer, 1) == 1;
        close(ready[0]);
        close(ready[1]);
        could_ = told && answer == 'y';
    }
    OtherProcess(const OtherProcess&) = delete;
    OtherProcess& operator=(const OtherProcess&) = delete;
    ~OtherProcess() { end(); }
    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    bool could() const { return could_; }
    int pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
    bool could_ = false;
};

bool try_flock(int file) {
    return flock(file, LOCK_EX | LOCK_NB) == 0;
}
std::function<bool(int)> byte_lock(short type, off_t first, off_t length) {
    return [=](int file) {
        struct flock range = bytes(type, first, length);
        return fcntl(file, F_SETLK, &range) == 0;
    };
}
/// As newer versions of the original look before they lock.
bool sees_no_lock(int file) {
    struct flock range = bytes(F_WRLCK, 200, 5);
    return fcntl(file, F_GETLK, &range) == 0 && range.l_type == F_UNLCK;
}

class DescriptorLockTest : public testing::Test {
  protected:
    DescriptorLockTest() { write_file(image, "image"); }

    std::unique_ptr<DescriptorLock> lock(milliseconds wait = milliseconds(0)) {
        return std::make_unique<DescriptorLock>(files, path, std::chrono::duration_cast<seconds>(wait),
                                                &cancel);
    }
    void expect_locked(const std::function<void()>& action, const std::string& name, int holder) {
        try {
            action();
            ADD_FAILURE() << "it was not locked";
        } catch (const PloopError& error) {
            EXPECT_EQ(error.exit(), Exit::bad_descriptor);
            EXPECT_EQ(error.code(), ErrorCode::locked);
            EXPECT_THAT(error.what(),
                        HasSubstr("The " + name + " is locked: Resource temporarily unavailable"));
            EXPECT_THAT(error.what(), HasSubstr("pid " + std::to_string(holder) + " "));
        }
    }

    const TemporaryFolder folder;
    const std::string path = folder / "DiskDescriptor.xml";
    const std::string lock_path = path + ".lck";
    const std::string image = folder / "root.hds";
    FileDoor& files = real_doors().files;
    CancelToken cancel;
};

TEST_F(DescriptorLockTest, HeldAndLetGo) {
    auto held = lock();
    const mode_t mask = umask(0);
    umask(mask);
    EXPECT_EQ(files.status(lock_path)->mode, 0644u & ~mask);
    EXPECT_EQ(files.status(lock_path)->size, 0u);
    EXPECT_FALSE(OtherProcess(lock_path, try_flock).could());
    held.reset();
    EXPECT_TRUE(OtherProcess(lock_path, try_flock).could());
    EXPECT_TRUE(files.status(lock_path)) << "it stays";
    lock();
}

TEST_F(DescriptorLockTest, NamesTheHolder) {
    const OtherProcess other(lock_path, try_flock);
    ASSERT_TRUE(other.could());
    expect_locked([&] { lock(); }, lock_path, other.pid());
}

TEST_F(DescriptorLockTest, WaitsAsLongAsToldAndNotLonger) {
    OtherProcess other(lock_path, try_flock);
    ASSERT_TRUE(other.could());
    const auto start = std::chrono::steady_clock::now();
    expect_locked([&] { lock(seconds(1)); }, lock_path, other.pid());
    EXPECT_GE(std::chrono::steady_clock::now() - start, seconds(1));
    std::thread ending([&] {
        std::this_thread::sleep_for(milliseconds(250));
        other.end();
    });
    EXPECT_NO_THROW(lock(seconds(30)));
    ending.join();
}

TEST_F(DescriptorLockTest, CancelEndsTheWait) {
    const OtherProcess other(lock_path, try_flock);
    ASSERT_TRUE(other.could());
    std::thread cancelling([&] {
        std::this_thread::sleep_for(milliseconds(150));
        cancel.cancel();
    });
    try {
        lock(seconds(60));
        ADD_FAILURE() << "it was not locked";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted);
    }
    cancelling.join();
}

TEST_F(DescriptorLockTest, NotOnAFileThatWasRemoved) {
    OtherProcess other(lock_path, try_flock);
    ASSERT_TRUE(other.could());
    std::thread removing([&] {
        std::this_thread::sleep_for(milliseconds(250));
        files.remove(lock_path); // a failed init of the original
        other.end();
    });
    const auto held = lock(seconds(30));
    removing.join();
    EXPECT_FALSE(OtherProcess(lock_path, try_flock).could());
}

TEST_F(DescriptorLockTest, NotThroughALink) {
    ASSERT_EQ(symlink(image.c_str(), lock_path.c_str()), 0);
    EXPECT_THROW(lock(), SystemError);
}

TEST_F(DescriptorLockTest, NewerVersionsSeeUs) {
    const auto held = lock();
    EXPECT_TRUE(OtherProcess(image, sees_no_lock).could());
    held->lock_base_image(image);
    EXPECT_FALSE(OtherProcess(image, sees_no_lock).could());
    EXPECT_TRUE(OtherProcess(image, byte_lock(F_RDLCK, 200, 5)).could()) << "ours is a shared lock";
    held->release_base_image();
    EXPECT_TRUE(OtherProcess(image, sees_no_lock).could());
    held->lock_base_image(image);
    EXPECT_FALSE(OtherProcess(image, sees_no_lock).could());
}

TEST_F(DescriptorLockTest, WeSeeNewerVersions) {
    const auto held = lock();
    struct Case {
        short type;
        off_t first;
    };
    for (const Case& one : {Case{F_RDLCK, 200}, Case{F_WRLCK, 200}, Case{F_RDLCK, 300}, Case{F_WRLCK, 300}}) {
        SCOPED_TRACE(one.first);
        OtherProcess other(image, byte_lock(one.type, one.first, 5));
        ASSERT_TRUE(other.could());
        expect_locked([&] { held->lock_base_image(image); }, image, other.pid());
        other.end();
        EXPECT_TRUE(OtherProcess(image, sees_no_lock).could()) << "what was refused leaves no lock";
    }
    const OtherProcess beside(image, byte_lock(F_WRLCK, 205, 95));
    ASSERT_TRUE(beside.could());
    EXPECT_NO_THROW(held->lock_base_image(image));
}

TEST_F(DescriptorLockTest, ImageThatIsNotThere) {
    const auto held = lock();
    EXPECT_THROW(held->lock_base_image(folder / "no"), SystemError);
}

} // namespace
} // namespace disktool::ploop
