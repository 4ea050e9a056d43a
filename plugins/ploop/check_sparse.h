// SPDX-License-Identifier: LGPL-2.1-or-later
// Holes of an image file, which the host must not have in it.
#pragma once

#include "check.h"
#include "ploop_error.h"

namespace disktool::ploop {

/// The kernel maps an image's clusters to the blocks of the host and does not know holes. With `fill` (a file
/// open for writing, asked for only when there is a hole) zeros are written into them and synced; without, one
/// is Exit::fatal_check.
///
/// The original also refuses extents that the host has reserved but not written, where they do not lie at
/// clusters. No portable call tells them from holes: File says that both are holes. So a file is taken to have
/// holes only when the host also holds fewer bytes for it than it is long; a preallocated image has none.
Exit check_holes(File& file, const CheckWriter& writer, const std::function<File&()>& fill,
                 CheckResult& result);

/// Really written, so that the host has blocks for them.
void write_zeros(File& file, Range range);

} // namespace disktool::ploop
