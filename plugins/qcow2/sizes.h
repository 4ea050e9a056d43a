// SPDX-License-Identifier: LGPL-2.1-or-later
// How large a disk can be.
#pragma once

#include "image.h"

#include <cstdint>

namespace disktool::qcow2 {

/// Throws size_impossible, naming the largest size, where QEMU's limit of the L1 table forbids this one.
void check_size(const Image& image, std::uint64_t size);

} // namespace disktool::qcow2
