// SPDX-License-Identifier: LGPL-2.1-or-later
// Growing through QEMU, for images whose dirty bitmaps must grow with the disk.
#pragma once

#include "image.h"

#include <disktool/format.h>
#include <disktool/plan.h>

namespace disktool::qcow2 {

/// Two steps: the size, then the patches, those at the new end first. Weaker than GrowStep: a kill between them
/// leaves the larger disk with its old bytes, which is valid, but is neither old nor new.
void plan_grow_by_qemu(Image& image, Plan& plan, const ResizeRequest& request);

} // namespace disktool::qcow2
