// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk as a new image of another format.
#pragma once

#include "image/session.h"
#include "verb/convert.h"

#include <disktool/plan.h>

namespace disktool {

/// Writes OUTPUT.disktool-part, then gives it its name; zeros and what is stored nowhere take no space.
void plan_copy_disk(Session& session, const FormatConversion& conversion, Plan& plan);

} // namespace disktool
