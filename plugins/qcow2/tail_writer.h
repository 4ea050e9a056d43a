// SPDX-License-Identifier: LGPL-2.1-or-later
// Clusters of metadata that are written one after the other.
#pragma once

#include "tail.h"

#include <disktool/file.h>
#include <disktool/size.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace disktool::qcow2 {

/// To fresh clusters (see Tail), which read as zeros: pages that hold nothing else are left out.
inline void write_fresh(File& file, std::uint64_t offset, std::span<const std::byte> bytes) {
    constexpr std::size_t page = 4096;
    const auto is_zero = [&](std::size_t at) {
        return std::ranges::all_of(bytes.subspan(at, std::min(page, bytes.size() - at)),
                                   [](std::byte b) { return b == std::byte{0}; });
    };
    for (std::size_t at = 0; at < bytes.size();) {
        if (is_zero(at)) {
            at += page;
            continue;
        }
        std::size_t end = at + page;
        while (end < bytes.size() && !is_zero(end)) {
            end += page;
        }
        file.write(offset + at, bytes.subspan(at, std::min(end, bytes.size()) - at));
        at = end;
    }
}

/// Collects clusters that follow each other in the file, so that they go out in large writes. They must be
/// fresh. Refers to its file. What was put is written when flush() returns. Threads: one at a time.
class TailWriter {
  public:
    explicit TailWriter(File& file) : file_(file) {}

    /// Whole clusters to `offset`.
    void put(std::uint64_t offset, std::span<const std::byte> bytes) {
        if (offset != start_ + bytes_.size() || bytes_.size() >= most) {
            flush();
            start_ = offset;
        }
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    }
    void flush() {
        if (!bytes_.empty()) {
            write_fresh(file_, start_, bytes_);
            bytes_.clear();
        }
    }

  private:
    static constexpr std::size_t most = 4 * MiB;
    File& file_;
    std::uint64_t start_ = 0;
    std::vector<std::byte> bytes_;
};

} // namespace disktool::qcow2
