// SPDX-License-Identifier: LGPL-2.1-or-later
// Which parts of files the host's cache should hold.
#pragma once

#include <disktool/api.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace disktool {

/// Counts small reads that the host's cache could not answer. Where several fall into one region of a file, the
/// others of that region will come, too: reading it whole once costs less than they do one by one. Reads that
/// are scattered over much more than the regions that are remembered (of 4096, the last ones) never come to
/// that, so that a large disk that is read at random is not read many times over.
///
/// Threads: any. Two at once may lose a count.
class DISKTOOL_API HotRegions {
  public:
    static constexpr std::uint64_t region = 1 << 20; ///< bytes of a file, aligned
    static constexpr unsigned enough = 4;            ///< reads

    /// True: this was one too many, and the count begins anew.
    bool missed(int descriptor, std::uint64_t offset) noexcept;

  private:
    static constexpr std::size_t remembered = 4096;
    std::array<std::atomic<std::uint64_t>, remembered>
        counts_{}; ///< which region, and how many in the low byte
};

/// Asks the host to read the region of the offset into its cache, without waiting for it.
DISKTOOL_API void fetch_region(int descriptor, std::uint64_t offset) noexcept;

} // namespace disktool
