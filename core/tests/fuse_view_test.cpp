// SPDX-License-Identifier: LGPL-2.1-or-later
// What the files of a view show, take and refuse.
#include "view_fixture.h"

#include <disktool/error.h>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

namespace disktool::test {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST_F(View, ShowsThePartsAsFiles) {
    MemoryDevice device(10 * mib + 512);
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
    MemoryDevice device(4 * mib);
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
    MemoryDevice device(4 * mib);
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
    MemoryDevice device(4 * mib);
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
    MemoryDevice device(std::uint64_t{1} << 40);
    const std::uint64_t page = MemoryDevice::page_size;
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
    class FullDevice final : public MemoryDevice {
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

TEST_F(View, ForgetsCachedPagesWhenOpenedAnew) {
    MemoryDevice device(mib);
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

} // namespace
} // namespace disktool::test
