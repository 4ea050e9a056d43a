// SPDX-License-Identifier: LGPL-2.1-or-later
// The header of an image that may be broken in any way.
#pragma once

#include "check.h"
#include "ploop_error.h"

namespace disktool::ploop {

struct FoundHeader {
    Exit exit = Exit::ok; ///< else: nothing else can be said of the image
    Header header;
    std::uint64_t entries = 0;  ///< BAT entries by the disk's size; they fit before the data
    bool wrong_entries = false; ///< the header counts others
};

/// Prints what is wrong. A wrong number of entries is Exit::ok only when `mends_entries` and the right one
/// fits.
FoundHeader find_header(File& file, bool mends_entries, const CheckWriter& writer);

} // namespace disktool::ploop
