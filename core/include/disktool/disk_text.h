// SPDX-License-Identifier: LGPL-2.1-or-later
// Text and UUID fields of on-disk structures. A guest can put any bytes there, and they end up on terminals and
// in JSON.
#pragma once

#include <disktool/api.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace disktool {

/// Up to the first NUL or the end of the field. Control characters and what is not UTF-8 become '?'.
DISKTOOL_API std::string disk_text(std::span<const unsigned char> field);
/// A Unicode character as UTF-8; control characters and halves of surrogate pairs as '?'.
DISKTOOL_API void append_utf8(std::string& text, std::uint32_t code);
/// As blkid writes it; empty when all zeros.
DISKTOOL_API std::string uuid_text(std::span<const unsigned char, 16> uuid);

} // namespace disktool
