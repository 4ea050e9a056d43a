// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/volume_sizes.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

/// What the volume's content asks for; none where it cannot be made smaller.
std::optional<MinimumSize> least_content(const Content& inner) {
    if (!inner.minimum || !inner.filesystem || inner.filesystem->can_shrink() != Reason::none) {
        return std::nullopt;
    }
    return inner.minimum;
}

} // namespace

std::optional<LastVolume> last_volume(const Content& content) {
    const int index = content.volumes->last_volume();
    if (index < 0) {
        return std::nullopt;
    }
    const Volume& volume = content.volumes->volumes()[static_cast<std::size_t>(index)];
    if (!volume.resizable || volume.segments.empty()) {
        return std::nullopt;
    }
    const VolumeSegment& tail = volume.segments.back();
    const bool is_last_on_device =
        std::all_of(volume.segments.begin(), volume.segments.end(),
                    [&](const VolumeSegment& segment) { return segment.place.end() <= tail.place.end(); });
    if (!is_last_on_device) {
        return std::nullopt;
    }
    LastVolume last;
    last.index = static_cast<std::size_t>(index);
    last.size = volume.size();
    last.least = tail.volume_offset + content.volumes->extent_size();
    last.device_end = tail.place.end();
    const std::uint64_t least_device = content.volumes->minimum_size().bytes;
    last.behind = least_device - std::min(least_device, last.device_end);
    return last;
}

std::uint64_t volume_size_on(const Content& content, const LastVolume& last, std::uint64_t old_device_size,
                             std::uint64_t new_device_size) {
    const auto end_on = [&](std::uint64_t device_size) {
        const std::uint64_t first = content.volumes->first_extent();
        const std::uint64_t usable = device_size - std::min(device_size, last.behind);
        return usable < first ? first : first + round_down(usable - first, content.volumes->extent_size());
    };
    const std::uint64_t end = end_on(new_device_size);
    if (new_device_size >= old_device_size) {
        return last.size + (end - end_on(old_device_size));
    }
    const std::uint64_t lost = last.device_end - std::min(last.device_end, end);
    return last.size - std::min(last.size, lost);
}

MinimumSize minimum_of_volumes(const Content& content) {
    const MinimumSize whole = content.volumes->minimum_size();
    const std::optional<LastVolume> last = last_volume(content);
    if (!last) {
        return whole;
    }
    const Content& inner = content.inner[last->index];
    const std::optional<MinimumSize> needed = least_content(inner);
    if (!needed) {
        return whole;
    }
    const std::uint64_t least = std::max(round_up(needed->bytes, content.volumes->extent_size()), last->least);
    if (least >= last->size) {
        return whole;
    }
    return {whole.bytes - (last->size - least), needed->reason,
            fmt::format("its last volume, {}, needs {}: {}", inner.volume, exact_size_text(least),
                        needed->sentence)};
}

} // namespace disktool
