// SPDX-License-Identifier: GPL-2.0-or-later
// Names on disk: UTF-16LE that a guest can fill with anything, and that ends up on terminals and in JSON.
#pragma once

#include "little_endian.h"

#include <string>

namespace disktool::ntfs {

/// Up to the first NUL or the end, as UTF-8. Control characters and lone surrogates become '?'.
std::string disk_text(Bytes utf16);

} // namespace disktool::ntfs
