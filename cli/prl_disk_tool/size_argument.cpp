// SPDX-License-Identifier: LGPL-2.1-or-later
#include "size_argument.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace disktool::cli {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// 0 for a letter that is no unit.
std::uint64_t unit_bytes(char unit) {
    switch (unit) {
    case 'K':
        return KiB;
    case 'M':
        return MiB;
    case 'G':
        return GiB;
    case 'T':
        return TiB;
    case 'b':
        return 1;
    case 's':
        return 512;
    default:
        return 0;
    }
}

constexpr const char* accepted = "give digits and one of K, M, G, T (no letter: M), such as 20G";

} // namespace

std::uint64_t parse_size(const std::string& text) {
    bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
    if (text.empty() || !ascii) {
        throw Error(ErrorCode::usage, fmt::format("Non-ascii size: {}", accepted));
    }
    std::uint64_t unit = MiB;
    std::string digits = text;
    if (!is_digit(text.back())) {
        unit = std::string("KMGT").find(text.back()) == std::string::npos ? 0 : unit_bytes(text.back());
        digits.pop_back();
        if (unit == 0) {
            throw Error(ErrorCode::usage, fmt::format("Unknown size unit in \"{}\": {}", text, accepted));
        }
    }
    std::uint64_t number = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    // MiB below the top, so that rounding up cannot overflow.
    constexpr std::uint64_t limit = std::numeric_limits<std::int64_t>::max() - MiB;
    if (error == std::errc::result_out_of_range || (error == std::errc() && number > limit / unit)) {
        throw Error(ErrorCode::usage, fmt::format("Size too big: \"{}\"", text));
    }
    if (error != std::errc() || end != digits.data() + digits.size()) {
        throw Error(ErrorCode::usage, fmt::format("Cannot parse size \"{}\": {}", text, accepted));
    }
    return round_up(number * unit, MiB);
}

char parse_unit(const std::string& text) {
    if (text.size() != 1 || unit_bytes(text[0]) == 0) {
        throw Error(ErrorCode::usage,
                    fmt::format("Cannot parse units \"{}\": give one of K, M, G, T, b, s", text));
    }
    return text[0];
}

std::string size_in_unit(std::uint64_t bytes, char unit) {
    return fmt::format("{}{}", divide_up(bytes, unit_bytes(unit)), unit);
}

} // namespace disktool::cli
