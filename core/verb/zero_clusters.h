// SPDX-License-Identifier: LGPL-2.1-or-later
// Which parts of a disk hold nothing but zeros although they are stored.
#pragma once

#include <disktool/extents.h>
#include <disktool/format.h>
#include <disktool/progress.h>

#include <cstdint>
#include <functional>

namespace disktool {

/// Whole clusters of the image's own data that read as zeros; guest bytes. What the host knows to be a hole or
/// reserved but never written is not read. `advance` hears of bytes that were looked at.
ExtentSet find_zero_clusters(Image& image, CancelToken& cancel,
                             const std::function<void(std::uint64_t)>& advance);

/// Bytes that it would look at.
std::uint64_t bytes_to_search(Image& image);

} // namespace disktool
