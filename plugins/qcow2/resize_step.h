// SPDX-License-Identifier: LGPL-2.1-or-later
// Another size of the disk, together with guest bytes that must change at the same moment.
#pragma once

#include "image.h"

#include <disktool/format.h>
#include <disktool/plan.h>

namespace disktool::qcow2 {

/// Appends one step that makes the disk `request.new_size` bytes large and applies the patches, all in the one
/// moment in which a working disk is committed; none where nothing changes. Beyond the old end the guest reads
/// zeros. What was plain stays plain. Errors: size_impossible (beyond what a qcow2 of this cluster size can
/// be), damaged (refcounts that are too low), no_space.
void plan_resize(Image& image, Plan& plan, const ResizeRequest& request);

} // namespace disktool::qcow2
