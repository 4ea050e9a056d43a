// SPDX-License-Identifier: LGPL-2.1-or-later
// Making the disk larger, together with guest bytes that must change at the same moment.
#pragma once

#include "image.h"

#include <disktool/format.h>
#include <disktool/plan.h>

namespace disktool::qcow2 {

/// For an image that keeps its data in its own file. Appends what makes the disk `request.new_size` bytes large
/// and applies the patches: one step that switches from old to new in one write of the header; for an image
/// with dirty bitmaps two steps through QEMU, each of which leaves a valid disk, with a note that says so.
/// Nothing where nothing changes. Beyond the old end the guest reads zeros. Errors: size_impossible (smaller,
/// or beyond what a qcow2 of this cluster size can be), unsupported (version 2 with snapshots or a larger
/// backing file), no_space.
void plan_grow(Image& image, Plan& plan, const ResizeRequest& request);

} // namespace disktool::qcow2
