// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether one image is a copy of another.
#pragma once

#include "delta.h"

#include <cstdint>
#include <functional>
#include <string>

namespace disktool::ploop {

/// PloopError(fatal_check): only a copy of an image can take its place.
[[noreturn]] void refuse_replacement(const Delta& one, const Delta& other, const std::string& what);

/// Reads both and refuses the other one unless the guest finds the same in it. Where the clusters lie in the
/// file is of no concern. A cluster that only one of them has is a difference, since it hides what lies below;
/// in a `base` nothing lies below, and zeros are as good there. `compared` is told the bytes that were read of
/// both together, and may throw, to stop. Both are only read, and may be read by others meanwhile.
void require_same_content(const Delta& one, const Delta& other, bool base,
                          const std::function<void(std::uint64_t bytes)>& compared);

} // namespace disktool::ploop
