// SPDX-License-Identifier: LGPL-2.1-or-later
// A view and those who use it: many at once, those who keep files open, servers that are killed, users without
// rights.
#include "support/file_device.h"
#include "view_fixture.h"

#include <disktool/error.h>

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>

namespace disktool::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Every thread has stripes of its own, which lie between those of the others, and knows what must be in them.
void work_at_random(const std::string& path, std::uint64_t size, unsigned threads, bool holes) {
    constexpr std::uint64_t stripe = 12'345;
    constexpr int rounds = 150;
    std::vector<std::thread> workers;
    std::atomic<int> wrong{0};
    for (unsigned self = 0; self < threads; ++self) {
        workers.emplace_back([&, self] {
            std::mt19937 random(self + 1);
            const Opened file(path, O_RDWR);
            std::vector<std::string> model(size / stripe / threads, std::string(stripe, '\0'));
            for (int round = 0; round < rounds; ++round) {
                const std::size_t number = random() % model.size();
                const std::uint64_t start = (number * threads + self) * stripe;
                std::string& known = model[number];
                const std::uint64_t from = random() % stripe;
                const std::uint64_t length = 1 + random() % (stripe - from);
                const auto at = known.begin() + static_cast<long>(from);
                switch (random() % (holes ? 4 : 3)) {
                case 0:
                case 1: {
                    const std::string fresh(length, static_cast<char>('a' + random() % 26));
                    std::copy(fresh.begin(), fresh.end(), at);
                    wrong += put(file, start + from, fresh) != 0;
                    break;
                }
                case 2:
                    wrong += text_at(file, start, stripe) != known;
                    break;
                default:
                    std::fill(at, at + static_cast<long>(length), '\0');
                    wrong += fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                       static_cast<off_t>(start + from), static_cast<off_t>(length)) != 0;
                    if (round % 8 == 0)
                        wrong += fsync(file) != 0;
                }
            }
            for (std::size_t number = 0; number < model.size(); ++number)
                wrong += text_at(file, (number * threads + self) * stripe, stripe) != model[number];
        });
    }
    for (std::thread& worker : workers)
        worker.join();
    EXPECT_EQ(wrong, 0);
}

TEST_F(View, ManyThreadsOnADeviceForOneAtATime) {
    WatchedDevice device(4 * mib);
    const auto view = show(device, {{"disk", {0, device.size()}}, {"p1", {0, device.size()}, true}},
                           {.discard_unit = WatchedDevice::unit});
    work_at_random(view->path("disk"), device.size(), 8, true);
    EXPECT_FALSE(device.overlapped);
    device.zero({0, device.size()});
    work_at_random(view->path("p1"), device.size(), 8, true);
    EXPECT_FALSE(device.overlapped);
    EXPECT_FALSE(view->first_error());
}

TEST_F(View, ManyThreadsOnAConcurrentDevice) {
    write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 8 * mib);
    FileDevice device(folder_ / "image", Access::write);
    const auto view = show(device, {{"disk", {0, device.size()}}}, {.discard_unit = 4096});
    work_at_random(view->path("disk"), device.size(), 8, true);
}

std::string fio(const std::string& path) {
    return run_tool({"fio", "--name=v", "--filename=" + path, "--rw=randwrite", "--bsrange=4k-512k",
                     "--ioengine=libaio", "--iodepth=16", "--direct=1", "--numjobs=3", "--size=24m",
                     "--offset_increment=24m", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                     "--randrepeat=0", "--allow_file_create=0", "--output-format=terse"});
}

TEST_F(View, FioFindsEveryBlockAgain) {
    if (!installed("fio"))
        GTEST_SKIP() << "no fio";
    write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 80 * mib);
    FileDevice file(folder_ / "image", Access::write);
    MemoryDevice memory(80 * mib);
    for (BlockDevice* device : std::initializer_list<BlockDevice*>{&file, &memory}) {
        const auto view = show(*device, {{"p1", {mib, 72 * mib}}});
        EXPECT_NO_THROW(fio(view->path("p1")));
        EXPECT_FALSE(view->first_error());
    }
}

/// Detached when it goes.
class Loop {
  public:
    explicit Loop(const std::string& path) {
        name_ = run_tool({"losetup", "--direct-io=on", "--show", "-f", path});
        name_.erase(name_.find_last_not_of('\n') + 1);
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { exit_status_of({"losetup", "-d", name_}); }
    const std::string& name() const { return name_; }

  private:
    std::string name_;
};

TEST_F(View, FioFindsEveryBlockAgainThroughALoopDevice) {
    if (!installed("fio") || geteuid() != 0 || access("/dev/loop-control", W_OK) != 0)
        GTEST_SKIP() << "needs fio and the right to make loop devices";
    write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 80 * mib);
    FileDevice device(folder_ / "image", Access::write);
    const auto view = show(device, {{"p1", {mib, 72 * mib}}});
    {
        const Loop loop(view->path("p1"));
        EXPECT_NO_THROW(fio(loop.name()));
    }
    EXPECT_FALSE(view->first_error());
    EXPECT_NO_THROW(view->unmount(10s));
}

TEST_F(View, CutsOffWhoKeepsAFileOpen) {
    auto device = std::make_unique<MemoryDevice>(mib);
    auto view = show(*device, {{"disk", {0, mib}}});
    const std::string path = view->path("disk");
    const Opened file(path, O_RDWR);
    EXPECT_EQ(put(file, 0, "x"), 0);
    try {
        view->unmount(50ms);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("still had a file"));
    }
    view.reset();
    device.reset();
    EXPECT_THAT(text_at(file, 0, 1), HasSubstr("errno"));
    EXPECT_NE(put(file, 0, "y"), 0);
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(path).parent_path().parent_path()));
}

TEST_F(View, WaitsForTheLastToClose) {
    MemoryDevice device(mib);
    const auto view = show(device, {{"disk", {0, mib}}});
    Opened file(view->path("disk"), O_RDWR);
    std::thread closer([&] {
        std::this_thread::sleep_for(200ms);
        EXPECT_EQ(put(file, 0, "late"), 0);
        file.close();
    });
    EXPECT_NO_THROW(view->unmount(20s));
    closer.join();
    EXPECT_EQ(device_text(device, 0, 4), "late");
}

/// A child that shows a device and waits to be killed. Its view's path comes through a pipe.
class Server {
  public:
    explicit Server(const std::function<void()>& first = [] {}) {
        int ends[2];
        EXPECT_EQ(pipe(ends), 0);
        child_ = fork();
        if (child_ == 0) {
            first();
            MemoryDevice device(mib);
            ViewOptions options;
            options.owner = geteuid();
            options.group = getegid();
            std::string path;
            std::unique_ptr<FuseView> view;
            try {
                view = mount_view(device, {{"disk", {0, mib}}}, options, processes());
                path = view->path("disk");
                const Opened file(path, O_RDWR);
                if (put(file, 0, "hello") != 0 || text_at(file, 0, 5) != "hello")
                    path = "what was written is not there";
            } catch (const std::exception& error) {
                path = error.what();
            }
            [[maybe_unused]] const ssize_t told = write(ends[1], path.data(), path.size());
            for (;;)
                pause();
        }
        ::close(ends[1]);
        std::array<char, 4096> text{};
        const ssize_t got = read(ends[0], text.data(), text.size());
        path_.assign(text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        ::close(ends[0]);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        end();
        if (const std::string mount_point = std::filesystem::path(path_).parent_path(); mount_point.size() > 1)
            unmount_view(processes(), mount_point, true);
    }
    void end() {
        if (child_ > 0) {
            kill(child_, SIGKILL);
            waitpid(std::exchange(child_, -1), nullptr, 0);
        }
    }
    const std::string& path() const { return path_; }
    std::string folder() const { return std::filesystem::path(path_).parent_path().parent_path(); }

  private:
    pid_t child_ = -1;
    std::string path_;
};

TEST_F(View, AKilledServerLeavesNothingThatBlocks) {
    if (geteuid() != 0)
        GTEST_SKIP() << "as root: nobody unmounts for us";
    Server living;
    Server killed;
    const Opened file(killed.path(), O_RDWR);
    ASSERT_GE(file, 0) << killed.path();
    EXPECT_EQ(text_at(file, 0, 5), "hello");
    killed.end();
    EXPECT_THAT(text_at(file, 0, 5), HasSubstr("errno")) << "an error, at once";
    EXPECT_EQ(Opened(killed.path(), O_RDONLY), -1);
    EXPECT_EQ(errno, ENOTCONN);
    EXPECT_TRUE(std::filesystem::exists(killed.folder()));
    remove_stale_views(processes());
    EXPECT_FALSE(std::filesystem::exists(killed.folder()));
    EXPECT_EQ(text_at(Opened(living.path(), O_RDONLY), 0, 5), "hello") << "of a process that lives: left alone";
}

TEST_F(View, AUserMountsThroughFusermount) {
    if (geteuid() != 0 || !installed("fusermount3"))
        GTEST_SKIP() << "needs root, to become a user, and fusermount3";
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::all);
    const auto become_user = [&] {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        unsetenv("XDG_RUNTIME_DIR");
        setenv("TMPDIR", folder_.path().c_str(), 1);
    };
    Server killed(become_user);
    ASSERT_THAT(killed.path(), HasSubstr(folder_.path().string()));
    killed.end();
    EXPECT_TRUE(std::filesystem::exists(killed.folder()));
    {
        const Server next(become_user);
        ASSERT_THAT(next.path(), HasSubstr(folder_.path().string()));
        EXPECT_FALSE(std::filesystem::exists(killed.folder())) << "the next one tidies up";
    }
    const Server last(become_user);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(View, SaysWhatIsMissing) {
    if (geteuid() != 0)
        GTEST_SKIP() << "needs root, to become a user";
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::all);
    const Server server([&] {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        setenv("TMPDIR", folder_.path().c_str(), 1);
        unsetenv("XDG_RUNTIME_DIR");
        setenv("FUSERMOUNT_PROG", "/nonexistent", 1); // heard by libfuse from 3.15 on
        setenv("PATH", "/nonexistent", 1);
        if (unshare(CLONE_NEWUSER) != 0) // where fusermount3 has no rights either
            _exit(1);
    });
    if (server.path().empty())
        GTEST_SKIP() << "no user namespaces";
    EXPECT_THAT(server.path(), HasSubstr("fuse3"));
}

} // namespace
} // namespace disktool::test
