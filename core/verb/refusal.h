// SPDX-License-Identifier: LGPL-2.1-or-later
// An image's refusal as an error.
#pragma once

#include <disktool/error.h>
#include <disktool/format.h>

namespace disktool {

/// damaged for a dirty or corrupt image, unsupported otherwise.
Error error_of(const Refusal& refusal);

/// Throws error_of the refusal when the image cannot do it.
void require(const Image& image, Capability capability);

} // namespace disktool
