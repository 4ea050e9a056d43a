// SPDX-License-Identifier: LGPL-2.1-or-later
// What a raw image holds: the holes of its file are what it does not.
#pragma once

#include <disktool/extent_list.h>
#include <disktool/file.h>

#include <vector>

namespace disktool::ploop {

/// Data and holes (unallocated) of the file within `range`, which is of the disk and of the file alike. What
/// lies behind the end of the file is unallocated. Someone else may change the file meanwhile: the extents
/// cover the range all the same.
void append_raw_extents(std::vector<Extent>& result, File& file, Range range);

} // namespace disktool::ploop
