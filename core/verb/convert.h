// SPDX-License-Identifier: LGPL-2.1-or-later
// convert: between plain and expanding, in place; and to another format, beside the image.
#pragma once

#include "verb/verb_context.h"

#include <disktool/plan.h>

#include <cstdint>
#include <string>

namespace disktool {

/// Every guest cluster gets its place, and the host its blocks. An empty plan for an image that is plain.
/// Throws unsupported for internal snapshots and for a backing file, no_space.
DISKTOOL_API Plan plan_convert_to_plain(VerbContext& context);

/// Only what is not zero stays allocated.
DISKTOOL_API Plan plan_convert_to_expanding(VerbContext& context);

struct FormatConversion {
    std::string format;  ///< a format plugin's name
    std::string output;  ///< a path where nothing is yet
    bool verify = false; ///< the result is read again and compared
};

/// The disk (with its backing chain, without its internal snapshots) as a new image. The image itself is only
/// read. Throws usage for a format that there is not or that cannot be created, and for an output that exists.
DISKTOOL_API Plan plan_convert_format(VerbContext& context, const FormatConversion& conversion);

} // namespace disktool
