// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

namespace disktool {
namespace {

using test::read_file;
using test::write_file;
using testing::HasSubstr;

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::string text_of(File& file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    file.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
}

class HostFile : public testing::Test {
  protected:
    std::unique_ptr<File> open_new(const std::string& name) {
        return door_.open(folder_ / name, {.write = true, .create = true, .exclusive = true});
    }
    void expect_refused(const std::string& path, OpenFlags flags, const std::string& part_of_sentence) {
        try {
            door_.open(path, flags);
            FAIL() << path << " was opened";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_found) << error.what();
            EXPECT_THAT(error.what(), HasSubstr(part_of_sentence));
            EXPECT_THAT(error.what(), HasSubstr(path));
        }
    }
    static int error_number_of(const std::function<void()>& action) {
        try {
            action();
        } catch (const SystemError& error) {
            return error.error_number();
        }
        return 0;
    }

    test::TemporaryFolder folder_;
    FileDoor& door_ = real_doors().files;
};

TEST_F(HostFile, AnErrorTellsWhichKindOfCallFailed) {
    const auto call_of = [](const std::function<void()>& action) {
        try {
            action();
        } catch (const SystemError& error) {
            return error.call();
        }
        return SystemCall::other;
    };
    open_new("a");
    std::filesystem::create_directory(folder_ / "b");
    const auto file = door_.open(folder_ / "a", {});
    const std::string missing = folder_ / "missing/name";
    EXPECT_EQ(call_of([&] { door_.open(missing, {}); }), SystemCall::open);
    EXPECT_EQ(call_of([&] { door_.open(missing, {.write = true, .create = true}); }), SystemCall::create);
    EXPECT_EQ(call_of([&] { door_.link(folder_ / "a", missing); }), SystemCall::create);
    EXPECT_EQ(call_of([&] { door_.rename(missing, folder_ / "a"); }), SystemCall::rename);
    EXPECT_EQ(call_of([&] { door_.remove(missing); }), SystemCall::remove);
    EXPECT_EQ(call_of([&] { door_.status(folder_ / "a/name"); }), SystemCall::stat);
    EXPECT_EQ(call_of([&] { door_.free_space(missing); }), SystemCall::stat);
    EXPECT_EQ(call_of([&] { door_.sync_directory(missing); }), SystemCall::open);
    EXPECT_EQ(call_of([&] { file->write(0, bytes("x")); }), SystemCall::write);
    EXPECT_EQ(call_of([&] { file->truncate(5); }), SystemCall::truncate);
    EXPECT_EQ(call_of([&] { file->allocate({0, 5}, false); }), SystemCall::allocate);
    EXPECT_EQ(call_of([&] { file->punch_hole({0, 5}); }), SystemCall::allocate);
}

TEST_F(HostFile, ReadsAndWritesAtPlaces) {
    const auto file = open_new("a");
    file->write(5, bytes("hello"));
    EXPECT_EQ(text_of(*file, 5, 5), "hello");
    EXPECT_EQ(text_of(*file, 0, 7), std::string("\0\0\0\0\0he", 7));
    EXPECT_EQ(file->status().size, 10u);
    std::string more(20, '?');
    EXPECT_EQ(file->read_some(8, std::as_writable_bytes(std::span(more))), 2u);
    EXPECT_EQ(more.substr(0, 3), "lo?");
    EXPECT_EQ(file->read_some(10, std::as_writable_bytes(std::span(more))), 0u);
    try {
        text_of(*file, 8, 3);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_THAT(error.what(), HasSubstr("ends at 10"));
    }
    file->truncate(7);
    EXPECT_EQ(read_file(folder_ / "a"), std::string("\0\0\0\0\0he", 7));
    file->sync_data();
    file->sync();
}

TEST_F(HostFile, DescriptorsDoNotReachChildren) {
    const auto file = open_new("a");
    EXPECT_NE(fcntl(file->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(fcntl(file->descriptor(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(HostFile, ReadingLeavesTheAccessTimeAlone) {
    write_file(folder_ / "a", "content");
    // relatime would update an access time that is older than the file's change.
    test::run_tool({"touch", "-a", "-d", "2001-01-01", folder_ / "a"});
    struct stat before {
    }, after{};
    ASSERT_EQ(stat((folder_ / "a").c_str(), &before), 0);
    text_of(*door_.open(folder_ / "a", {}), 0, 7);
    ASSERT_EQ(stat((folder_ / "a").c_str(), &after), 0);
    EXPECT_EQ(after.st_atim.tv_sec, before.st_atim.tv_sec);
}

TEST_F(HostFile, RefusesWhatIsNoFileWithoutHanging) {
    ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
    expect_refused(folder_ / "fifo", {}, "is a FIFO");
    expect_refused(folder_ / "fifo", {.write = true}, "is a FIFO");
    expect_refused(folder_.path().string(), {}, "is a directory");
    expect_refused(folder_.path().string(), {.write = true}, "is a directory");
    expect_refused(folder_ / "missing", {}, "No such file");
    expect_refused(folder_ / "missing/below", {}, "No such file");
    write_file(folder_ / "file", "x");
    expect_refused(folder_ / "file/below", {}, "Not a directory");

    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder_ / "socket").c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    expect_refused(folder_ / "socket", {}, "is a socket");
    close(listener);
}

TEST_F(HostFile, CreatesOnlyWhenToldTo) {
    EXPECT_EQ(error_number_of([&] { door_.open(folder_ / "a", {.write = true}); }), ENOENT);
    door_.open(folder_ / "a", {.write = true, .create = true, .mode = 0640})->write(0, bytes("old"));
    EXPECT_EQ(door_.status(folder_ / "a")->mode, 0640u);
    EXPECT_EQ(error_number_of([&] { open_new("a"); }), EEXIST);
    EXPECT_EQ(read_file(folder_ / "a"), "old");
    door_.open(folder_ / "a", {.write = true, .create = true, .truncate = true});
    EXPECT_EQ(read_file(folder_ / "a"), "");
    ASSERT_EQ(symlink("nowhere", (folder_ / "dangling").c_str()), 0);
    EXPECT_EQ(error_number_of([&] { open_new("dangling"); }), EEXIST);
    ASSERT_EQ(symlink("a", (folder_ / "link").c_str()), 0);
    EXPECT_NO_THROW(door_.open(folder_ / "link", {}));
    EXPECT_EQ(error_number_of([&] { door_.open(folder_ / "link", {.follow_links = false}); }), ELOOP);
}

TEST_F(HostFile, AnErrorNamesActionPathAndWhy) {
    write_file(folder_ / "a", "x");
    const auto file = door_.open(folder_ / "a", {}); // not for writing
    try {
        file->write(3, bytes("abc"));
        FAIL();
    } catch (const SystemError& error) {
        EXPECT_EQ(error.error_number(), EBADF);
        EXPECT_EQ(std::string(error.what()),
                  "Cannot write 3 bytes at offset 3 of " + (folder_ / "a") + ": Bad file descriptor");
    }
    EXPECT_EQ(error_number_of([&] { file->truncate(0); }), EINVAL);
    EXPECT_EQ(error_number_of([&] { file->punch_hole({0, 1}); }), EBADF);
    EXPECT_EQ(error_number_of([&] { file->zero({0, 1}); }), EBADF);
    EXPECT_EQ(error_number_of([&] { file->allocate({0, 1}, true); }), EBADF);
}

/// On the file system of the temporary folder, and on tmpfs, which cannot zero a range.
class HostFileSpace : public testing::TestWithParam<const char*> {
  protected:
    HostFileSpace() {
        const std::filesystem::path folder =
            *GetParam() ? std::filesystem::path(GetParam()) : std::filesystem::temp_directory_path();
        std::string name = (folder / "disktool-space-XXXXXX").string();
        const int descriptor = mkstemp(name.data());
        EXPECT_GE(descriptor, 0) << name;
        close(descriptor);
        path_ = name;
        file_ = real_doors().files.open(path_, {.write = true});
    }
    ~HostFileSpace() override { real_doors().files.remove(path_); }

    std::string path_;
    std::unique_ptr<File> file_;
};

TEST_P(HostFileSpace, PunchingGivesBlocksBackAndKeepsTheSize) {
    file_->write(0, bytes(std::string(1 * MiB, 'x')));
    file_->sync();
    const std::uint64_t before = file_->status().allocated;
    EXPECT_GE(before, 1 * MiB);
    file_->punch_hole({256 * KiB, 512 * KiB});
    file_->punch_hole({0, 0});
    EXPECT_EQ(file_->status().size, 1 * MiB);
    EXPECT_LE(file_->status().allocated, before - 512 * KiB);
    EXPECT_EQ(text_of(*file_, 256 * KiB - 1, 3), std::string("x\0\0", 3));
    EXPECT_EQ(file_->next_data(256 * KiB), 768 * KiB);
    EXPECT_EQ(file_->next_hole(0), 256 * KiB);
    EXPECT_EQ(file_->next_data(0), 0u);
    EXPECT_EQ(file_->next_hole(768 * KiB), std::nullopt); // the end is no hole
    EXPECT_EQ(file_->next_data(1 * MiB), std::nullopt);
    file_->truncate(2 * MiB);
    EXPECT_EQ(file_->next_data(1 * MiB), std::nullopt);
    EXPECT_EQ(file_->next_hole(768 * KiB), 1 * MiB);
    EXPECT_EQ(file_->next_hole(3 * MiB), std::nullopt);
}

TEST_P(HostFileSpace, ZeroingOverwritesAndExtends) {
    file_->write(0, bytes(std::string(100 * KiB, 'x')));
    file_->zero({10 * KiB + 1, 20 * KiB});
    file_->zero({90 * KiB, 3 * MiB});
    file_->zero({50 * MiB, 0});
    EXPECT_EQ(file_->status().size, 90 * KiB + 3 * MiB);
    std::string wanted(100 * KiB, 'x');
    wanted.replace(10 * KiB + 1, 20 * KiB, std::string(20 * KiB, '\0'));
    wanted.replace(90 * KiB, std::string::npos, std::string(3 * MiB, '\0'));
    EXPECT_TRUE(text_of(*file_, 0, wanted.size()) == wanted);
}

TEST_P(HostFileSpace, AllocatingReservesBlocks) {
    file_->allocate({0, 1 * MiB}, true);
    EXPECT_EQ(file_->status().size, 0u);
    EXPECT_GE(file_->status().allocated, 1 * MiB);
    file_->allocate({1 * MiB, 1 * MiB}, false);
    EXPECT_EQ(file_->status().size, 2 * MiB);
    EXPECT_GE(file_->status().allocated, 2 * MiB);
}

INSTANTIATE_TEST_SUITE_P(FileSystems, HostFileSpace, testing::Values("", "/dev/shm"));

TEST_F(HostFile, FlocksConflictBetweenOpenFiles) {
    const auto a = open_new("a");
    const auto b = door_.open(folder_ / "a", {});
    EXPECT_TRUE(a->try_flock(LockMode::shared));
    EXPECT_TRUE(b->try_flock(LockMode::shared));
    EXPECT_FALSE(a->try_flock(LockMode::exclusive));
    // flock(1) of util-linux as the independent witness.
    EXPECT_EQ(test::exit_status_of({"flock", "--nonblock", "--exclusive", folder_ / "a", "true"}), 1);
    EXPECT_TRUE(b->try_flock(LockMode::none));
    EXPECT_TRUE(a->try_flock(LockMode::none));
    EXPECT_TRUE(a->try_flock(LockMode::exclusive));
    EXPECT_EQ(test::exit_status_of({"flock", "--nonblock", "--shared", folder_ / "a", "true"}), 1);
}

TEST_F(HostFile, ByteLocksAreOfTheOpenFile) {
    const auto a = open_new("a");
    const auto b = door_.open(folder_ / "a", {.write = true});
    EXPECT_TRUE(a->try_lock_bytes({100, 1}, LockMode::exclusive));
    EXPECT_FALSE(b->try_lock_bytes({100, 1}, LockMode::shared));
    EXPECT_FALSE(b->could_lock_bytes({100, 1}, LockMode::shared));
    EXPECT_TRUE(b->could_lock_bytes({101, 1}, LockMode::exclusive));
    EXPECT_TRUE(b->could_lock_bytes({100, 1}, LockMode::none));
    EXPECT_TRUE(a->try_lock_bytes({100, 1}, LockMode::shared)); // weaker
    EXPECT_TRUE(b->could_lock_bytes({100, 1}, LockMode::shared));
    EXPECT_TRUE(b->try_lock_bytes({100, 1}, LockMode::shared));
    EXPECT_FALSE(a->could_lock_bytes({100, 1}, LockMode::exclusive));
    // A POSIX lock would be gone as soon as any descriptor of the file is closed.
    door_.open(folder_ / "a", {});
    EXPECT_FALSE(a->could_lock_bytes({100, 1}, LockMode::exclusive));
    EXPECT_TRUE(b->try_lock_bytes({100, 1}, LockMode::none));
    EXPECT_TRUE(a->could_lock_bytes({100, 1}, LockMode::exclusive));
}

TEST_F(HostFile, SeesTheLocksOfQemu) {
    test::run_tool({"qemu-img", "create", "-q", "-f", "qcow2", folder_ / "a.qcow2", "1M"});
    const auto file = door_.open(folder_ / "a.qcow2", {.write = true});
    // "Write" is byte 101, "not sharing write" byte 201. See image/locks.h.
    ASSERT_TRUE(file->try_lock_bytes({201, 1}, LockMode::shared));
    EXPECT_NE(test::exit_status_of({"qemu-img", "resize", folder_ / "a.qcow2", "2M"}), 0);
    ASSERT_TRUE(file->try_lock_bytes({201, 1}, LockMode::none));
    EXPECT_EQ(test::exit_status_of({"qemu-img", "resize", folder_ / "a.qcow2", "2M"}), 0);
}

TEST_F(HostFile, StatusTellsWhatThereIs) {
    write_file(folder_ / "a", std::string(5000, 'x'));
    ASSERT_EQ(symlink("a", (folder_ / "link").c_str()), 0);
    ASSERT_EQ(chmod((folder_ / "a").c_str(), 0604), 0);
    const FileStatus status = *door_.status(folder_ / "a");
    EXPECT_EQ(status.type, FileType::regular);
    EXPECT_EQ(status.size, 5000u);
    EXPECT_EQ(status.mode, 0604u);
    EXPECT_EQ(status.owner, geteuid());
    EXPECT_EQ(status.links, 1u);
    EXPECT_TRUE(status.same_file(*door_.status(folder_ / "link")));
    EXPECT_EQ(door_.status(folder_ / "link", false)->type, FileType::symlink);
    EXPECT_EQ(door_.status(folder_.path().string())->type, FileType::directory);
    EXPECT_FALSE(door_.status(folder_ / "missing").has_value());
    test::run_tool({"touch", "-d", "@1000000000.25", folder_ / "a"});
    EXPECT_EQ(door_.status(folder_ / "a")->modified_ns, 1'000'000'000'250'000'000);
}

TEST_F(HostFile, NamesAreChanged) {
    write_file(folder_ / "a", "content");
    door_.link(folder_ / "a", folder_ / "b");
    EXPECT_EQ(door_.status(folder_ / "a")->links, 2u);
    write_file(folder_ / "c", "other");
    door_.rename(folder_ / "b", folder_ / "c");
    door_.sync_directory(folder_.path().string());
    EXPECT_EQ(read_file(folder_ / "c"), "content");
    EXPECT_THAT(door_.list(folder_.path().string()), testing::ElementsAre("a", "c"));
    door_.remove(folder_ / "a");
    EXPECT_THAT(door_.list(folder_.path().string()), testing::ElementsAre("c"));
    ASSERT_EQ(symlink("c", (folder_ / "link").c_str()), 0);
    EXPECT_EQ(door_.real_path(folder_ / "./link"), folder_ / "c");
    EXPECT_EQ(error_number_of([&] { door_.remove(folder_ / "a"); }), ENOENT);
    EXPECT_EQ(error_number_of([&] { door_.rename(folder_ / "a", folder_ / "x"); }), ENOENT);
    EXPECT_EQ(error_number_of([&] { door_.link(folder_ / "c", folder_ / "link"); }), EEXIST);
    EXPECT_EQ(error_number_of([&] { door_.list(folder_ / "missing"); }), ENOENT);
    EXPECT_EQ(error_number_of([&] { door_.sync_directory(folder_ / "c"); }), ENOTDIR);
    EXPECT_EQ(error_number_of([&] { door_.real_path(folder_ / "missing"); }), ENOENT);
}

TEST_F(HostFile, FreeSpaceIsWhatDfSays) {
    const std::uint64_t ours = door_.free_space(folder_.path().string());
    const std::string line =
        test::run_tool({"df", "--block-size=1", "--output=avail", folder_.path().string()});
    const std::uint64_t theirs = std::stoull(line.substr(line.find('\n') + 1));
    // Others write meanwhile.
    EXPECT_NEAR(static_cast<double>(ours), static_cast<double>(theirs), 0.05 * static_cast<double>(theirs));
}

TEST_F(HostFile, TextIsReadUpToALimit) {
    write_file(folder_ / "a", std::string(200'000, 'x'));
    EXPECT_EQ(door_.read_text(folder_ / "a", 200'000), std::string(200'000, 'x'));
    EXPECT_THROW(door_.read_text(folder_ / "a", 199'999), Error);
    write_file(folder_ / "empty", "");
    EXPECT_EQ(door_.read_text(folder_ / "empty", 0), "");
    EXPECT_THAT(door_.read_text("/proc/self/status", 1 << 20), HasSubstr("Pid:")); // tells no size
}

TEST_F(HostFile, TextIsReplacedAndLeavesNothingBehind) {
    door_.replace_text(folder_ / "a", "one", 0640);
    EXPECT_EQ(door_.status(folder_ / "a")->mode, 0640u);
    write_file(folder_ / "a.new", "left by a run that was killed, and longer");
    door_.replace_text(folder_ / "a", "two");
    EXPECT_EQ(read_file(folder_ / "a"), "two");
    EXPECT_THAT(door_.list(folder_.path().string()), testing::ElementsAre("a"));
    // Not through a link that someone has put there.
    write_file(folder_ / "victim", "safe");
    ASSERT_EQ(symlink("victim", (folder_ / "a.new").c_str()), 0);
    door_.replace_text(folder_ / "a", "three");
    EXPECT_EQ(read_file(folder_ / "victim"), "safe");
    EXPECT_EQ(read_file(folder_ / "a"), "three");
}

TEST(DirectoryOf, IsTheFolderPart) {
    EXPECT_EQ(directory_of("a"), ".");
    EXPECT_EQ(directory_of("a/b"), "a");
    EXPECT_EQ(directory_of("/a"), "/");
    EXPECT_EQ(directory_of("//a"), "/");
    EXPECT_EQ(directory_of("/a/b/"), "/a");
    EXPECT_EQ(directory_of("a//b"), "a");
    EXPECT_EQ(directory_of("a/"), ".");
    EXPECT_EQ(directory_of("/"), "/");
    EXPECT_EQ(directory_of(""), ".");
}

} // namespace
} // namespace disktool
