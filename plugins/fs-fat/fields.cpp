// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fields.h"

#include <disktool/disk_text.h>

#include <fmt/format.h>

namespace disktool::fat {

std::string padded_text(std::span<const std::byte> field) {
    std::string text;
    for (const std::byte byte : field) {
        const auto c = std::to_integer<unsigned char>(byte);
        if (c == 0)
            break;
        text += c < 0x20 || c > 0x7e ? '?' : static_cast<char>(c);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

std::string utf16_text(std::span<const std::byte> field) {
    std::string text;
    for (std::size_t at = 0; at + 2 <= field.size(); at += 2) {
        std::uint32_t code = load_le<std::uint16_t>(field, at);
        if (code == 0)
            break;
        if (code >= 0xd800 && code < 0xdc00 && at + 4 <= field.size()) {
            const auto low = load_le<std::uint16_t>(field, at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00u);
                at += 2;
            }
        }
        append_utf8(text, code);
    }
    return text;
}

std::string serial_text(std::uint32_t serial) {
    return serial == 0 ? std::string() : fmt::format("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
}

} // namespace disktool::fat
