// SPDX-License-Identifier: LGPL-2.1-or-later
// What the tests of requests past the host's cache have in common: a file whose bytes are known.
#pragma once

#include "block/host_descriptor.h"
#include "device/direct_requests.h"
#include "support/temporary_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace disktool::pages_test {

inline constexpr std::size_t page = 4096;
inline constexpr std::uint64_t pages = 1024;
inline constexpr std::uint64_t file_size = pages * page;

struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;
inline Memory memory_of(std::size_t size) {
    return Memory(static_cast<std::byte*>(std::aligned_alloc(page, size)));
}

/// What page `number` of the file is full of.
inline std::byte filling(std::uint64_t number) {
    return static_cast<std::byte>(1 + number % 251);
}

inline bool right(std::span<const std::byte> data, std::uint64_t offset) {
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (data[i] != filling((offset + i) / page)) {
            return false;
        }
    }
    return true;
}

/// A file whose pages differ, on the disk and not in the cache.
class PagesTest : public testing::Test {
  protected:
    void SetUp() override {
        const std::string path = folder_ / "pages";
        cached_ = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        direct_ = Descriptor(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        if (!direct_) {
            GTEST_SKIP() << "no direct I/O on " << path;
        }
        std::vector<std::byte> content(file_size);
        for (std::size_t i = 0; i < content.size(); ++i) {
            content[i] = filling(i / page);
        }
        ASSERT_EQ(pwrite(cached_.get(), content.data(), content.size(), 0),
                  static_cast<ssize_t>(content.size()));
        ASSERT_EQ(fsync(cached_.get()), 0);
        ASSERT_EQ(posix_fadvise(cached_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    /// Without making the kernel read it, as a read that does not wait would.
    bool in_cache(std::uint64_t offset) const {
        void* const mapped =
            mmap(nullptr, page, PROT_READ, MAP_SHARED, cached_.get(), static_cast<off_t>(offset));
        unsigned char there = 0;
        EXPECT_NE(mapped, MAP_FAILED);
        EXPECT_EQ(mincore(mapped, page, &there), 0);
        munmap(mapped, page);
        return (there & 1) != 0;
    }
    BlockDevice::Place at(std::uint64_t offset) const { return {direct_.get(), cached_.get(), offset, false}; }

    test::TemporaryFolder folder_;
    Descriptor cached_, direct_;
};

class DirectRequestsTest : public PagesTest {
  protected:
    void SetUp() override {
        PagesTest::SetUp();
        if (!IsSkipped() && !DirectRequests::start([](const auto&...) {})) {
            GTEST_SKIP() << "the host has no asynchronous I/O";
        }
    }
};

} // namespace disktool::pages_test
