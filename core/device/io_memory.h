// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory of the process of a device that is there before the first request.
#pragma once

#include <disktool/api.h>

#include <cstddef>

namespace disktool {

/// Bytes from a page on, zeros at first. In huge pages where the kernel gives them (transparent_hugepage
/// "always" or "madvise"): with locked memory all of it is made at once, and small pages of a virtual machine
/// cost ten times as much. Threads: it is only memory.
class DISKTOOL_API IoMemory {
  public:
    /// Throws std::bad_alloc.
    explicit IoMemory(std::size_t length);
    ~IoMemory();
    IoMemory(const IoMemory&) = delete;
    IoMemory& operator=(const IoMemory&) = delete;

    std::byte* start() const noexcept { return start_; }

  private:
    std::size_t length_;
    std::byte* start_;
};

} // namespace disktool
