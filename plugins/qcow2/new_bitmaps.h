// SPDX-License-Identifier: LGPL-2.1-or-later
// Dirty bitmaps of an image's new state.
#pragma once

#include "changed_ranges.h"
#include "image.h"
#include "reference_count.h"
#include "tail.h"

#include <cstdint>
#include <optional>

namespace disktool::qcow2 {

/// Makes the bitmaps fit a disk of `new_size` bytes, and sets in those that record what was changed. What has
/// to be new is written to the tail, not synced; what of the present bitmaps the new state goes on to use is
/// counted in `references`. Those marked as in use stay as they are: nobody believes them.
/// Where the directory lies then; none: where it was. Errors: see Bitmap.
std::optional<BitmapDirectoryLocation> write_bitmaps(Image& image, std::uint64_t new_size,
                                                     const ChangedRanges& changed, Tail& tail,
                                                     ReferenceCount& references);

/// Throws size_impossible, naming it, where a bitmap cannot cover a disk of that size (QEMU's limits).
void check_bitmaps(Image& image, std::uint64_t new_size);

} // namespace disktool::qcow2
