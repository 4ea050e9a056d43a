// SPDX-License-Identifier: LGPL-2.1-or-later
// What to do about images that are not in order: ploop check mends much, but not everything.
#pragma once

#include "check.h"

#include <span>
#include <string>

namespace disktool::ploop {

/// A sentence on the image that keeps the others (base to top) from use. `result`: of their check.
/// `cluster_sectors`: of the descriptor, or given by the user for a raw image; 0: only the images tell.
std::string advice_on(const CheckResult& result, std::span<const CheckedImage> base_to_top,
                      std::uint32_t cluster_sectors);

} // namespace disktool::ploop
