// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/direct_file.h"

#include "block/forwarding_file.h"
#include "block/host_descriptor.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace disktool {

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t smallest_unit = 512;
/// From here on the page cache costs more than it can save: several readers of a large file side by side keep
/// the kernel from reading ahead.
constexpr std::size_t large_request = 128 << 10;

struct FreeMemory {
    void operator()(void* memory) const { std::free(memory); }
};

/// What the host demands of direct requests: found out by a read, since only new kernels tell. 0: none are
/// taken.
std::size_t unit_of(int direct) {
    const std::unique_ptr<void, FreeMemory> memory(std::aligned_alloc(page, page));
    if (!memory) {
        return 0;
    }
    for (const std::size_t unit : {smallest_unit, page}) {
        // Behind the first page, so that the offset is no multiple of anything larger.
        if (pread(direct, memory.get(), unit, static_cast<off_t>(unit)) >= 0) {
            return unit;
        }
    }
    return 0;
}

class DirectFile final : public ForwardingFile {
  public:
    DirectFile(std::unique_ptr<File> file, Descriptor direct, std::size_t unit, const OpenFlags& flags)
        : ForwardingFile(std::move(file)), direct_(std::move(direct)), unit_(unit), cache_(flags.cache),
          writable_(flags.write) {}

    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        const bool cached = cache_ != HostCache::none && buffer.size() < large_request;
        if (cached || !is_aligned(offset, buffer.data(), buffer.size())) {
            return file_->read_some(offset, buffer);
        }
        std::size_t done = cache_ == HostCache::small_requests ? read_cached(offset, buffer) : 0;
        while (done < buffer.size()) {
            const ssize_t got = pread(direct_.get(), buffer.data() + done, buffer.size() - done,
                                      static_cast<off_t>(offset + done));
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                fail("read", offset + done, buffer.size() - done);
            }
            done += static_cast<std::size_t>(got);
            if (got == 0 || static_cast<std::size_t>(got) % unit_ != 0) {
                break; // the end of the file
            }
        }
        return done;
    }

    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        const bool cached = cache_ == HostCache::small_requests && data.size() < large_request;
        if (cached || !is_aligned(offset, data.data(), data.size())) {
            file_->write(offset, data);
            return;
        }
        std::size_t done = 0;
        while (done < data.size()) {
            const ssize_t put = pwrite(direct_.get(), data.data() + done, data.size() - done,
                                       static_cast<off_t>(offset + done));
            if (put < 0 && errno == EINTR) {
                continue;
            }
            if (put <= 0) {
                errno = put == 0 ? EIO : errno;
                fail("write", offset + done, data.size() - done);
            }
            done += static_cast<std::size_t>(put);
            if (static_cast<std::size_t>(put) % unit_ != 0) {
                // The host's disk is full: the other way tells so.
                file_->write(offset + done, data.subspan(done));
                return;
            }
        }
    }

    Direct direct() const override {
        return {.descriptor = direct_.get(),
                .unit = unit_,
                .cached = cache_ == HostCache::none ? -1 : file_->descriptor(),
                .writes = writable_ && cache_ != HostCache::small_requests};
    }

  private:
    /// What the page cache holds of the beginning, without waiting for the disk; whole units.
    std::size_t read_cached(std::uint64_t offset, std::span<std::byte> buffer) const {
        const iovec memory{buffer.data(), buffer.size()};
        const ssize_t got = preadv2(file_->descriptor(), &memory, 1, static_cast<off_t>(offset), RWF_NOWAIT);
        return got < 0 ? 0 : static_cast<std::size_t>(got) / unit_ * unit_;
    }
    bool is_aligned(std::uint64_t offset, const void* memory, std::size_t size) const {
        return (offset | reinterpret_cast<std::uintptr_t>(memory) | size) % unit_ == 0;
    }
    [[noreturn]] void fail(const char* what, std::uint64_t offset, std::size_t length) const {
        const int error_number = errno;
        throw SystemError(fmt::format("Cannot {} {} bytes at offset {} of", what, length, offset), path(),
                          error_number);
    }

    Descriptor direct_;
    std::size_t unit_;
    HostCache cache_;
    bool writable_;
};

} // namespace

std::unique_ptr<File> past_host_cache(std::unique_ptr<File> file, const OpenFlags& flags) {
    // By the descriptor: the name may mean another file by now.
    const std::string same = fmt::format("/proc/self/fd/{}", file->descriptor());
    Descriptor direct(::open(same.c_str(), (flags.write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC));
    const std::size_t unit = direct ? unit_of(direct.get()) : 0;
    if (unit == 0) {
        return file;
    }
    return std::make_unique<DirectFile>(std::move(file), std::move(direct), unit, flags);
}

std::unique_ptr<File> DirectFileDoor::open(const std::string& path, OpenFlags flags) {
    flags.cache = cache_;
    return behind_.open(path, flags);
}

} // namespace disktool
