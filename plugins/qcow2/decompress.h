// SPDX-License-Identifier: LGPL-2.1-or-later
// Compressed clusters.
#pragma once

#include "header.h"

#include <cstddef>
#include <span>

namespace disktool::qcow2 {

/// Fills `cluster` from `compressed`, which may be longer than the stream in it. False where the stream is
/// damaged or makes less than a whole cluster.
bool decompress(CompressionType type, std::span<const std::byte> compressed, std::span<std::byte> cluster);

} // namespace disktool::qcow2
