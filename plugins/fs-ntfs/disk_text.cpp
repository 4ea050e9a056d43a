// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_text.h"

namespace disktool::ntfs {

namespace {

void append_utf8(std::string& text, std::uint32_t code) {
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000)) {
        text += '?';
    } else if (code < 0x80) {
        text += static_cast<char>(code);
    } else if (code < 0x800) {
        text += static_cast<char>(0xc0 | code >> 6);
        text += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        text += static_cast<char>(0xe0 | code >> 12);
        text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        text += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        text += static_cast<char>(0xf0 | code >> 18);
        text += static_cast<char>(0x80 | (code >> 12 & 0x3f));
        text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        text += static_cast<char>(0x80 | (code & 0x3f));
    }
}

} // namespace

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
