// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether an image is plain: all of its disk allocated, all of that reserved by the host.
#pragma once

#include "image.h"

#include <disktool/format.h>

namespace disktool::qcow2 {

/// Ends at the first cluster that is not allocated, so it is quick for most images. What the host has reserved
/// is asked of it extent by extent (FIEMAP); where it cannot tell, its count of blocks has to do.
Allocation allocation(Image& image);

} // namespace disktool::qcow2
