// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hot_regions.h"

#include <fcntl.h>

namespace disktool {

namespace {
constexpr unsigned count_bits = 8;
constexpr unsigned descriptor_shift = 40; // of 2^32 regions: files of 4 PiB
/// The kernel takes no more at a time where the host's disk is of that kind, and says nothing.
constexpr std::uint64_t fetched_at_once = 128 << 10;
} // namespace

bool HotRegions::missed(int descriptor, std::uint64_t offset) noexcept {
    const std::uint64_t number = offset / region;
    const std::uint64_t name =
        (static_cast<std::uint64_t>(descriptor) << descriptor_shift | number << count_bits);
    // Chains: the same cluster of several files is at about the same place of each.
    std::atomic<std::uint64_t>& place =
        counts_[(number + static_cast<std::uint64_t>(descriptor) * 509) % counts_.size()];
    const std::uint64_t seen = place.load(std::memory_order_relaxed);
    const std::uint64_t others = seen >> count_bits << count_bits;
    const unsigned count = others == name ? static_cast<unsigned>(seen - others) + 1 : 1;
    place.store(count >= enough ? name : name | count, std::memory_order_relaxed);
    return count >= enough;
}

void fetch_region(int descriptor, std::uint64_t offset) noexcept {
    const std::uint64_t start = offset / HotRegions::region * HotRegions::region;
    for (std::uint64_t done = 0; done < HotRegions::region; done += fetched_at_once) {
        (void)posix_fadvise(descriptor, static_cast<off_t>(start + done), fetched_at_once, POSIX_FADV_WILLNEED);
    }
}

} // namespace disktool
