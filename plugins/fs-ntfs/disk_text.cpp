// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_text.h"

#include <disktool/disk_text.h>

namespace disktool::ntfs {

std::string disk_text(Bytes utf16) {
    std::string text;
    for (std::size_t at = 0; at + 2 <= utf16.size(); at += 2) {
        std::uint32_t code = little<std::uint16_t>(utf16, at);
        if (code == 0)
            break;
        if (code >= 0xd800 && code < 0xdc00 && at + 4 <= utf16.size()) {
            const std::uint32_t low = little<std::uint16_t>(utf16, at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
                at += 2;
            }
        }
        append_utf8(text, code);
    }
    return text;
}

} // namespace disktool::ntfs
