// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/size.h>

#include <array>
#include <cstddef>

namespace disktool {

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<const char*, 7> units = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes == 1)
        return "1 byte";
    std::size_t unit = 0;
    while (unit + 1 < units.size() && bytes >> (10 * (unit + 1)) != 0)
        ++unit;
    if (unit == 0)
        return std::to_string(bytes) + " bytes";
    // Integers, so that no size is too large to be exact: whole units, and the rest in rounded tenths.
    const unsigned shift = 10 * static_cast<unsigned>(unit);
    std::uint64_t whole = bytes >> shift;
    const std::uint64_t rest = bytes & ((1ull << shift) - 1);
    std::uint64_t tenths = ((rest >> (shift - 10)) * 10 + 512) >> 10;
    if (tenths == 10) {
        ++whole;
        tenths = 0;
        if (whole == 1024 && unit + 1 < units.size()) {
            whole = 1;
            ++unit;
        }
    }
    std::string text = std::to_string(whole);
    if (tenths != 0)
        text += "." + std::to_string(tenths);
    return text + " " + units[unit];
}

std::string exact_size_text(std::uint64_t bytes) {
    std::string text = size_text(bytes);
    if (bytes >= KiB)
        text += " (" + std::to_string(bytes) + " bytes)";
    return text;
}

} // namespace disktool
