// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/fuse_view.h"
#include "engine/view_folder.h"
#include "support/file_device.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <thread>

namespace disktool {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::uint64_t mib = 1 << 20;

ProcessDoor& processes() {
    return real_doors().processes;
}

/// A descriptor that closes itself; -1 with errno where the file could not be opened.
class Opened {
  public:
    Opened(const std::string& path, int flags) : number_(open(path.c_str(), flags | O_CLOEXEC)) {}
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() { close(); }
    operator int() const { return number_; }
    void close() {
        if (number_ >= 0)
            ::close(std::exchange(number_, -1));
    }

  private:
    int number_;
};

std::string text_at(int file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    const ssize_t got = pread(file, text.data(), length, static_cast<off_t>(offset));
    return got < 0 ? fmt::format("errno {}", errno) : text.substr(0, static_cast<std::size_t>(got));
}

/// 0 or errno.
int put(int file, std::uint64_t offset, const std::string& text) {
    const ssize_t written = pwrite(file, text.data(), text.size(), static_cast<off_t>(offset));
    return written < 0 ? errno : static_cast<std::size_t>(written) == text.size() ? 0 : EMSGSIZE;
}

std::string device_text(BlockDevice& device, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    device.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
}

void device_put(BlockDevice& device, std::uint64_t offset, const std::string& text) {
    device.write(offset, std::as_bytes(std::span(text)));
}

/// Fails the test when it is used by two at a time though it says that it cannot bear that. Discards leave
/// garbage where they do not cover whole units.
class WatchedDevice final : public test::MemoryDevice {
  public:
    using MemoryDevice::MemoryDevice;
    static constexpr std::uint64_t unit = 64 << 10;

    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        const Use use(*this);
        MemoryDevice::read(offset, buffer);
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        const Use use(*this);
        MemoryDevice::write(offset, data);
    }
    void zero(Range range) override {
        const Use use(*this);
        MemoryDevice::zero(range);
    }
    void discard(Range range) override {
        const Use use(*this);
        discarded.push_back(range);
        const std::uint64_t first = (range.offset + unit - 1) / unit * unit;
        const std::uint64_t last = range.end() == size() ? size() : range.end() / unit * unit;
        const std::vector<std::byte> garbage(range.length, std::byte{0xEE});
        MemoryDevice::write(range.offset, garbage);
        if (first < last)
            MemoryDevice::zero({first, last - first});
    }
    void flush() override {
        const Use use(*this);
        MemoryDevice::flush();
    }
    std::vector<Extent> extents(Range range) override {
        const Use use(*this);
        return MemoryDevice::extents(range);
    }

    std::vector<Range> discarded;
    std::atomic<int> users{0};
    std::atomic<bool> overlapped{false};

  private:
    struct Use {
        explicit Use(WatchedDevice& device) : watched(device) {
            if (watched.users.fetch_add(1) != 0)
                watched.overlapped = true;
            std::this_thread::yield();
        }
        ~Use() { --watched.users; }
        WatchedDevice& watched;
    };
};

class View : public testing::Test {
  protected:
    View() {
        if (access("/dev/fuse", W_OK) != 0)
            skip_ = true;
    }
    void SetUp() override {
        if (skip_)
            GTEST_SKIP() << "no /dev/fuse";
    }
    std::unique_ptr<FuseView> show(BlockDevice& device, std::vector<ViewFile> files, ViewOptions options = {}) {
        options.owner = geteuid();
        options.group = getegid();
        return mount_view(device, std::move(files), options, processes());
    }

    bool skip_ = false;
    test::TemporaryFolder folder_;
};

TEST_F(View, ShowsThePartsAsFiles) {
    test::MemoryDevice device(10 * mib + 512);
    device_put(device, 0, "start");
    device_put(device, mib, "first");
    const auto view =
        show(device, {{"disk", {0, device.size()}}, {"p1", {mib, 3 * mib}, true}, {"p12", {5 * mib, 1000}}});
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(view->path("x")).parent_path()))
        names.push_back(entry.path().filename());
    EXPECT_THAT(names, UnorderedElementsAre("disk", "p1", "p12"));
    struct stat status {};
    ASSERT_EQ(stat(view->path("p12").c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 1000);
    EXPECT_EQ(status.st_mode, S_IFREG | 0600u);
    EXPECT_EQ(std::filesystem::file_size(view->path("disk")), device.size());
    EXPECT_FALSE(std::filesystem::exists(view->path("p2")));

    const Opened disk(view->path("disk"), O_RDWR);
    const Opened p1(view->path("p1"), O_RDWR);
    EXPECT_EQ(text_at(disk, 0, 5), "start");
    EXPECT_EQ(text_at(p1, 0, 5), "first");
    EXPECT_EQ(put(p1, 3 * mib - 4, "last"), 0);
    EXPECT_EQ(text_at(p1, 3 * mib - 2, 100), "st") << "the file ends there";
    EXPECT_EQ(text_at(p1, 3 * mib, 100), "");
    EXPECT_EQ(fsync(p1), 0);
    EXPECT_EQ(device.flushes(), 1u);
    EXPECT_EQ(text_at(disk, 4 * mib - 4, 4), "last");
    EXPECT_EQ(put(disk, 4, "x"), 0);
    EXPECT_EQ(device_text(device, 0, 5), "starx") << "what is not cached writes at once";
}

TEST_F(View, GathersTheWritesOfACachedFile) {
    test::MemoryDevice device(4 * mib);
    const auto view = show(device, {{"p1", {mib, 2 * mib}, true}});
    std::string model(2 * mib, '\0');
    {
        const Opened p1(view->path("p1"), O_RDWR);
        for (std::uint64_t at = 0; at < mib; at += 4096) {
            const std::string piece(4096, static_cast<char>('a' + at / 4096 % 26));
            ASSERT_EQ(put(p1, at, piece), 0);
            model.replace(at, piece.size(), piece);
        }
        ASSERT_EQ(put(p1, mib + 5000, "a part of a page"), 0);
        model.replace(mib + 5000, 16, "a part of a page");
        EXPECT_EQ(text_at(p1, 0, 2 * mib), model);
    }
    EXPECT_EQ(device_text(device, mib, 2 * mib), model) << "all is there once the file is closed";
    EXPECT_LT(device.writes(), 30u) << "of 257";
    EXPECT_FALSE(view->first_error());
}

TEST_F(View, AWriteBehindTheEndOfACachedFileIsNotLostInSilence) {
    test::MemoryDevice device(4 * mib);
    const auto view = show(device, {{"p1", {mib, mib}, true}});
    {
        const Opened p1(view->path("p1"), O_RDWR);
        if (put(p1, mib - 2, "1234") == 0) {
            EXPECT_NE(fsync(p1), 0);
        }
    }
    ASSERT_TRUE(view->first_error());
    EXPECT_THAT(view->first_error()->what(), HasSubstr("end"));
    EXPECT_EQ(device_text(device, 2 * mib, 4), std::string(4, '\0'));
}

TEST_F(View, KeepsItsSizesAndNames) {
    test::MemoryDevice device(4 * mib);
    const auto view = show(device, {{"disk", {0, device.size()}}, {"p1", {mib, mib}, true}});
    for (const char* name : {"disk", "p1"}) {
        const std::uint64_t size = std::filesystem::file_size(view->path(name));
        const Opened file(view->path(name), O_RDWR);
        if (std::string(name) == "disk") {
            EXPECT_EQ(put(file, size, "x"), ENOSPC);
            EXPECT_NE(put(file, size - 2, "1234"), 0) << "whole or cut short";
        }
        EXPECT_EQ(put(file, size - 4, "1234"), 0);
        EXPECT_EQ(ftruncate(file, static_cast<off_t>(size)), 0);
        EXPECT_EQ(ftruncate(file, 4096), 0) << "resize2fs does so";
        EXPECT_EQ(text_at(file, size - 4, 4), "1234");
        EXPECT_EQ(ftruncate(file, static_cast<off_t>(size + 1)), -1);
        EXPECT_EQ(errno, EFBIG);
        EXPECT_EQ(fallocate(file, 0, 0, static_cast<off_t>(size)), 0);
        EXPECT_EQ(fallocate(file, 0, 0, static_cast<off_t>(size + 1)), -1);
        EXPECT_EQ(errno, ENOSPC);
        EXPECT_EQ(fchmod(file, 0666), -1);
        struct stat status {};
        EXPECT_EQ(fstat(file, &status), 0);
        EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), size);
    }
    EXPECT_EQ(Opened(view->path("new"), O_RDWR | O_CREAT), -1);
    EXPECT_NE(unlink(view->path("p1").c_str()), 0);
    EXPECT_THROW(show(device, {{"p1", {3 * mib, 2 * mib}}}), Error);
    device.set_writable(false);
    const auto other = show(device, {{"disk", {0, device.size()}}});
    EXPECT_EQ(Opened(other->path("disk"), O_RDWR), -1);
    EXPECT_GE(Opened(other->path("disk"), O_RDONLY), 0);
}

TEST_F(View, HolesReadAsZeros) {
    for (const std::uint64_t unit : {std::uint64_t{0}, WatchedDevice::unit}) {
        for (const bool cached : {false, true}) {
            WatchedDevice device(mib + 1000);
            device_put(device, 0, std::string(device.size(), 'x'));
            const auto view =
                show(device, {{"p1", {512, device.size() - 512}, cached}}, {.discard_unit = unit});
            const Opened file(view->path("p1"), O_RDWR);
            const std::uint64_t size = device.size() - 512;
            std::string model(size, 'x');
            EXPECT_EQ(text_at(file, 0, size), model);
            const auto punch = [&](int mode, std::uint64_t offset, std::uint64_t length) {
                ASSERT_EQ(fallocate(file, mode, static_cast<off_t>(offset), static_cast<off_t>(length)), 0);
                const std::uint64_t end = std::min(offset + length, size);
                std::fill(model.begin() + static_cast<long>(offset), model.begin() + static_cast<long>(end),
                          '\0');
                EXPECT_EQ(text_at(file, 0, size), model) << mode << " " << offset << " " << length;
            };
            punch(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 200);
            punch(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 70'000, 300'000);
            punch(FALLOC_FL_ZERO_RANGE, 500'000, 70'000);
            punch(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 600'000, 10);
            punch(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 900'000, 10 * mib);
            EXPECT_EQ(fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
            EXPECT_EQ(errno, EOPNOTSUPP);
            EXPECT_EQ(device_text(device, 512, size), model);
            EXPECT_EQ(device.discarded.empty(), unit == 0);
        }
    }
}

TEST_F(View, TellsDataFromHoles) {
    test::MemoryDevice device(std::uint64_t{1} << 40);
    const std::uint64_t page = test::MemoryDevice::page_size;
    device_put(device, 3 * page, "x");
    device_put(device, (std::uint64_t{1} << 39) + page, "y");
    const auto view = show(device, {{"p1", {page, device.size() - page}}});
    const Opened file(view->path("p1"), O_RDONLY);
    const auto seek = [&](std::uint64_t offset, int whence) {
        const off_t found = lseek(file, static_cast<off_t>(offset), whence);
        return found < 0 ? -errno : found;
    };
    const std::uint64_t far = std::uint64_t{1} << 39;
    EXPECT_EQ(seek(0, SEEK_DATA), static_cast<off_t>(2 * page));
    EXPECT_EQ(seek(2 * page + 5, SEEK_DATA), static_cast<off_t>(2 * page + 5));
    EXPECT_EQ(seek(0, SEEK_HOLE), 0);
    EXPECT_EQ(seek(2 * page, SEEK_HOLE), static_cast<off_t>(3 * page));
    EXPECT_EQ(seek(3 * page, SEEK_DATA), static_cast<off_t>(far));
    EXPECT_EQ(seek(far + page, SEEK_DATA), -ENXIO);
    EXPECT_EQ(seek(far + page, SEEK_HOLE), static_cast<off_t>(far + page));
    EXPECT_EQ(seek(device.size(), SEEK_HOLE), -ENXIO);
}

TEST_F(View, KeepsTheFirstError) {
    class FullDevice final : public test::MemoryDevice {
      public:
        using MemoryDevice::MemoryDevice;
        void write(std::uint64_t, std::span<const std::byte>) override {
            throw Error(ErrorCode::no_space, "the host is full, at last");
        }
    };
    FullDevice device(mib);
    const auto view = show(device, {{"disk", {0, mib}}});
    const Opened file(view->path("disk"), O_RDWR);
    EXPECT_FALSE(view->first_error());
    EXPECT_EQ(put(file, 0, "x"), ENOSPC);
    device.fail_at(5000);
    EXPECT_EQ(text_at(file, 4096, 4096), fmt::format("errno {}", EIO));
    ASSERT_TRUE(view->first_error());
    EXPECT_STREQ(view->first_error()->what(), "the host is full, at last");
    EXPECT_EQ(view->first_error()->code(), ErrorCode::no_space);
}

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
    test::write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 8 * mib);
    test::FileDevice device(folder_ / "image", Access::write);
    const auto view = show(device, {{"disk", {0, device.size()}}}, {.discard_unit = 4096});
    work_at_random(view->path("disk"), device.size(), 8, true);
}

bool installed(const std::string& program) {
    return test::exit_status_of({"sh", "-c", "command -v " + program + " > /dev/null"}) == 0;
}

std::string fio(const std::string& path) {
    return test::run_tool({"fio", "--name=v", "--filename=" + path, "--rw=randwrite", "--bsrange=4k-512k",
                           "--ioengine=libaio", "--iodepth=16", "--direct=1", "--numjobs=3", "--size=24m",
                           "--offset_increment=24m", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                           "--randrepeat=0", "--allow_file_create=0", "--output-format=terse"});
}

TEST_F(View, FioFindsEveryBlockAgain) {
    if (!installed("fio"))
        GTEST_SKIP() << "no fio";
    test::write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 80 * mib);
    test::FileDevice file(folder_ / "image", Access::write);
    test::MemoryDevice memory(80 * mib);
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
        name_ = test::run_tool({"losetup", "--direct-io=on", "--show", "-f", path});
        name_.erase(name_.find_last_not_of('\n') + 1);
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { test::exit_status_of({"losetup", "-d", name_}); }
    const std::string& name() const { return name_; }

  private:
    std::string name_;
};

TEST_F(View, FioFindsEveryBlockAgainThroughALoopDevice) {
    if (!installed("fio") || geteuid() != 0 || access("/dev/loop-control", W_OK) != 0)
        GTEST_SKIP() << "needs fio and the right to make loop devices";
    test::write_file(folder_ / "image", "");
    std::filesystem::resize_file(folder_ / "image", 80 * mib);
    test::FileDevice device(folder_ / "image", Access::write);
    const auto view = show(device, {{"p1", {mib, 72 * mib}}});
    {
        const Loop loop(view->path("p1"));
        EXPECT_NO_THROW(fio(loop.name()));
    }
    EXPECT_FALSE(view->first_error());
    EXPECT_NO_THROW(view->unmount(10s));
}

TEST_F(View, ForgetsCachedPagesWhenOpenedAnew) {
    test::MemoryDevice device(mib);
    const auto view = show(device, {{"p1", {0, mib}, true}});
    device_put(device, 0, "old");
    {
        const Opened file(view->path("p1"), O_RDONLY);
        EXPECT_EQ(text_at(file, 0, 3), "old");
        const std::uint64_t before = device.reads();
        EXPECT_EQ(text_at(file, 0, 3), "old");
        EXPECT_EQ(device.reads(), before) << "from the cache";
    }
    device_put(device, 0, "new");
    EXPECT_EQ(text_at(Opened(view->path("p1"), O_RDONLY), 0, 3), "new");
}

TEST_F(View, CutsOffWhoKeepsAFileOpen) {
    auto device = std::make_unique<test::MemoryDevice>(mib);
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
    test::MemoryDevice device(mib);
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
            test::MemoryDevice device(mib);
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
} // namespace disktool
