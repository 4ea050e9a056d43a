// SPDX-License-Identifier: LGPL-2.1-or-later
// Which parts of files the host's cache should hold.
#pragma once

#include <disktool/api.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace disktool {

/// Counts small reads. Where several fall into one region of a file, the others of that region will come, too:
/// reading it whole once costs less than they do one by one. Reads that are scattered over much more than the
/// 4096 regions that are counted at a time hardly ever come to that, so that a large disk that is read at
/// random is neither read many times over nor in the host's memory.
///
/// Threads: any. Two at once may lose a count, or both be told to fetch.
class DISKTOOL_API HotRegions {
  public:
    static constexpr std::uint64_t region = 1 << 20; ///< bytes of a file, aligned
    static constexpr unsigned enough = 4;            ///< reads

    enum class Heat {
        cold,
        fetch, ///< this was the read that made it hot
        hot,   ///< was fetched; may have left the cache since: see missed()
    };
    Heat read(int descriptor, std::uint64_t offset) noexcept;
    /// A hot one was not in the cache there: written anew, or dropped. True: it is to be fetched again, which
    /// costs little where most of it is there; and then not before it was read a few times more.
    bool missed(int descriptor, std::uint64_t offset) noexcept;

  private:
    std::atomic<std::uint64_t>& place_of(int descriptor, std::uint64_t offset) noexcept;
    static constexpr std::size_t counted = 4096;
    /// Which region, whether it is hot, and a count: it rises with the region's own reads and falls with those
    /// of others that would want its place, and at 0 the next one of them gets it.
    std::array<std::atomic<std::uint64_t>, counted> places_{};
};

/// Asks the host to read the region of the offset into its cache, without waiting for it.
DISKTOOL_API void fetch_region(int descriptor, std::uint64_t offset) noexcept;

} // namespace disktool
