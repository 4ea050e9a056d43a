// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/sparse_copy.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace disktool {
SparseCopy::SparseCopy(BlockDevice& device, std::uint64_t size)
    : device_(device), size_(size), descriptor_(memfd_create("disktool", MFD_CLOEXEC)) {
    if (descriptor_ < 0) {
        throw SystemError("making a file in memory for", device.name(), errno);
    }
    if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) {
        const int error = errno;
        close(descriptor_);
        throw SystemError("sizing a file in memory for", device.name(), error);
    }
}

SparseCopy::~SparseCopy() {
    close(descriptor_);
}

void SparseCopy::copy(Range range) {
    const std::uint64_t limit = std::min(device_.size(), size_);
    if (range.offset >= limit) {
        return;
    }
    const std::uint64_t end = range.offset + std::min(range.length, limit - range.offset);
    std::array<std::byte, 64 * KiB> buffer;
    for (std::uint64_t at = range.offset; at < end;) {
        const auto piece = std::span(buffer).first(std::min<std::uint64_t>(end - at, buffer.size()));
        device_.read(at, piece);
        if (!all_zero(piece)) { // else the file reads so already, at no cost
            write(at, piece);
        }
        at += piece.size();
    }
}

void SparseCopy::write(std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
        const ssize_t written = pwrite(descriptor_, data.data(), data.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            throw SystemError("copying into memory from", device_.name(), written < 0 ? errno : EIO);
        }
        data = data.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
}

} // namespace disktool
