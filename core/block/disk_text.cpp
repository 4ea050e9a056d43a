// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/disk_text.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace disktool {

namespace {

/// Bytes of the UTF-8 character at the start of `text`; 0 where there is none or it is a control character.
std::size_t character_length(std::span<const unsigned char> text) {
    const unsigned char lead = text[0];
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
        return 0;
    std::uint32_t code = lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    const bool control = code < 0xa0; // the C1 set steers terminals too
    return too_long || surrogate || control || code > 0x10ffff ? 0 : length;
}

} // namespace

void append_utf8(std::string& text, std::uint32_t code) {
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    if (control || (code >= 0xd800 && code < 0xe000)) {
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

std::string disk_text(std::span<const unsigned char> field) {
    field = field.first(static_cast<std::size_t>(std::ranges::find(field, 0) - field.begin()));
    std::string text;
    while (!field.empty()) {
        const std::size_t length = character_length(field);
        if (length == 0)
            text += '?';
        else
            text.append(field.begin(), field.begin() + static_cast<std::ptrdiff_t>(length));
        field = field.subspan(std::max<std::size_t>(length, 1));
    }
    return text;
}

std::string uuid_text(std::span<const unsigned char, 16> uuid) {
    if (std::ranges::all_of(uuid, [](unsigned char byte) { return byte == 0; }))
        return {};
    std::string text;
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text += '-';
        text += fmt::format("{:02x}", uuid[i]);
    }
    return text;
}

} // namespace disktool
