// SPDX-License-Identifier: GPL-2.0-or-later
// The free space, from $Bitmap.
#pragma once

#include "volume.h"

#include <disktool/extents.h>

namespace disktool::ntfs {

/// Exactly the free clusters, in bytes: bits beyond the last cluster are ignored. Verified: the bitmap has a
/// bit for every cluster and no holes. Read in pieces of 1 MiB. Throws damaged.
ExtentSet read_cluster_bitmap(const Volume& volume);

/// Throws damaged where the map calls clusters of the file system's own files free.
void check_against_metadata(const Volume& volume, const ExtentSet& free);

} // namespace disktool::ntfs
