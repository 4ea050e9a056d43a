// SPDX-License-Identifier: LGPL-2.1-or-later
// Giving back clusters in place: what a compact does, and what mending leaks does.
#pragma once

#include "image.h"

#include <disktool/extents.h>
#include <disktool/format.h>
#include <disktool/plan.h>

namespace disktool::qcow2 {

/// What can be given back when `discardable` (guest bytes) is of no use to anyone; appends the step that does
/// it to `plan`, unless that is null or there is nothing to do. Errors: damaged where the image's refcounts
/// miss something that is in use. Guest clusters in an external data file are left alone.
CompactEstimate plan_free(Image& image, Plan* plan, const ExtentSet& discardable);

} // namespace disktool::qcow2
