// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node_device.h"

#include <disktool/error.h>

#include <unistd.h>

#include <cerrno>

namespace disktool::server {

void NodeDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    while (!buffer.empty()) {
        const ssize_t got = pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            throw SystemError("Cannot read", name_, got < 0 ? errno : EIO);
        }
        buffer = buffer.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
}

} // namespace disktool::server
