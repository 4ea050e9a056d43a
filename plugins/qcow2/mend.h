// SPDX-License-Identifier: LGPL-2.1-or-later
// What an interrupted job may have left, and whether an image is sound.
#pragma once

#include "image.h"

#include <disktool/format.h>
#include <disktool/plan.h>

namespace disktool::qcow2 {

/// Leaked clusters, and free ones that the host still holds: appends one step that gives them back, or none.
void plan_mend(Image& image, Plan& plan);

/// Compares all refcounts with what the metadata refers to. Damage is counted, not thrown, as long as the
/// tables can be walked at all. Reads only.
CheckReport check(Image& image);

} // namespace disktool::qcow2
