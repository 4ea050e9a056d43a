// SPDX-License-Identifier: LGPL-2.1-or-later
// What the tests of FUSE views share: the fixture that mounts one, its files, and a device that watches its
// users.
#pragma once

#include "engine/fuse_view.h"
#include "engine/view_folder.h"
#include "support/memory_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace disktool::test {

inline constexpr std::uint64_t mib = 1 << 20;

inline ProcessDoor& processes() {
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

inline std::string text_at(int file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    const ssize_t got = pread(file, text.data(), length, static_cast<off_t>(offset));
    return got < 0 ? fmt::format("errno {}", errno) : text.substr(0, static_cast<std::size_t>(got));
}

/// 0 or errno.
inline int put(int file, std::uint64_t offset, const std::string& text) {
    const ssize_t written = pwrite(file, text.data(), text.size(), static_cast<off_t>(offset));
    return written < 0 ? errno : static_cast<std::size_t>(written) == text.size() ? 0 : EMSGSIZE;
}

inline std::string device_text(BlockDevice& device, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    device.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
}

inline void device_put(BlockDevice& device, std::uint64_t offset, const std::string& text) {
    device.write(offset, std::as_bytes(std::span(text)));
}

/// Fails the test when it is used by two at a time though it says that it cannot bear that. Discards leave
/// garbage where they do not cover whole units.
class WatchedDevice final : public MemoryDevice {
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
    TemporaryFolder folder_;
};

inline bool installed(const std::string& program) {
    return exit_status_of({"sh", "-c", "command -v " + program + " > /dev/null"}) == 0;
}

} // namespace disktool::test
