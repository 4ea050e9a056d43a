// SPDX-License-Identifier: LGPL-2.1-or-later
// How a device that is divided into volumes, its last volume and that one's file system follow each other.
#pragma once

#include "verb/survey.h"

#include <cstdint>
#include <optional>
#include <string>

namespace disktool {

/// The volume whose end is also the end of what is in use on the device, so that both can change together.
struct LastVolume {
    std::size_t index = 0;        ///< in Volumes::volumes() and Content::inner
    std::uint64_t size = 0;       ///< bytes
    std::uint64_t least = 0;      ///< bytes: what it can be made without losing a segment
    std::uint64_t device_end = 0; ///< bytes of the device: where it ends
    std::uint64_t behind = 0;     ///< bytes that the device needs behind its last extent
};

/// None where the volume that lies last cannot be resized: its tail lies elsewhere, it is striped, or its
/// content is nothing that can follow.
std::optional<LastVolume> last_volume(const Content& content);

/// The least size of the device when its last volume follows.
MinimumSize minimum_of_volumes(const Content& content);

/// The size that the last volume gets when its device changes: as much more as the device gains, as much less
/// as lies behind the device's new end. Bytes, whole extents. May be less than its least size: that is the
/// caller's check.
std::uint64_t volume_size_on(const Content& content, const LastVolume& last, std::uint64_t old_device_size,
                             std::uint64_t new_device_size);

} // namespace disktool
