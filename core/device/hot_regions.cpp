// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/hot_regions.h"

#include <fcntl.h>

namespace disktool {

namespace {
constexpr std::uint64_t count_mask = 0x7f, hot_flag = 0x80;
constexpr unsigned number_shift = 8, descriptor_shift = 40; // of 2^32 regions: files of 4 PiB
constexpr std::uint64_t most_counted = 8;
/// The kernel takes no more at a time where the host's disk is of that kind, and says nothing.
constexpr std::uint64_t fetched_at_once = 128 << 10;

std::uint64_t name_of(int descriptor, std::uint64_t offset) {
    const std::uint64_t number = offset / HotRegions::region;
    return static_cast<std::uint64_t>(descriptor) << descriptor_shift | number << number_shift;
}
} // namespace

std::atomic<std::uint64_t>& HotRegions::place_of(int descriptor, std::uint64_t offset) noexcept {
    // Chains: the same cluster of several files is at about the same place of each.
    return places_[(offset / region + static_cast<std::uint64_t>(descriptor) * 509) % places_.size()];
}

bool HotRegions::missed(int descriptor, std::uint64_t offset) noexcept {
    const std::uint64_t name = name_of(descriptor, offset);
    std::atomic<std::uint64_t>& place = place_of(descriptor, offset);
    const std::uint64_t seen = place.load(std::memory_order_relaxed);
    if ((seen & ~(count_mask | hot_flag)) != name || (seen & count_mask) < enough) {
        return false;
    }
    place.store(name | hot_flag | 1, std::memory_order_relaxed);
    return true;
}

HotRegions::Heat HotRegions::read(int descriptor, std::uint64_t offset) noexcept {
    const std::uint64_t name = name_of(descriptor, offset);
    std::atomic<std::uint64_t>& place = place_of(descriptor, offset);
    const std::uint64_t seen = place.load(std::memory_order_relaxed);
    const std::uint64_t count = seen & count_mask;
    if ((seen & ~(count_mask | hot_flag)) != name || count == 0) {
        place.store(count == 0 ? name | 1 : seen - 1, std::memory_order_relaxed);
        return Heat::cold;
    }
    const bool was_hot = (seen & hot_flag) != 0;
    const std::uint64_t risen = count < most_counted ? count + 1 : count;
    const bool is_hot = was_hot || risen >= enough;
    place.store(name | (is_hot ? hot_flag : 0) | risen, std::memory_order_relaxed);
    return was_hot ? Heat::hot : is_hot ? Heat::fetch : Heat::cold;
}

void fetch_region(int descriptor, std::uint64_t offset) noexcept {
    const std::uint64_t start = offset / HotRegions::region * HotRegions::region;
    for (std::uint64_t done = 0; done < HotRegions::region; done += fetched_at_once) {
        (void)posix_fadvise(descriptor, static_cast<off_t>(start + done), fetched_at_once, POSIX_FADV_WILLNEED);
    }
}

} // namespace disktool
