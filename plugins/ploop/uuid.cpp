// SPDX-License-Identifier: LGPL-2.1-or-later
#include "uuid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <random>

namespace disktool::ploop {
namespace {

constexpr std::string_view digits = "0123456789abcdef";
constexpr std::string_view shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

// Own ones: those of the C library follow the locale.
char lower_case(char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

bool fits(char expected, char character) {
    return expected == 'x' ? digits.find(lower_case(character)) != std::string_view::npos
                           : character == expected;
}

} // namespace

std::optional<Uuid> Uuid::parse(std::string_view text) {
    if (text.size() == shape.size() + 2 && text.front() == '{' && text.back() == '}') {
        text = text.substr(1, shape.size());
    }
    if (!std::equal(shape.begin(), shape.end(), text.begin(), text.end(), fits)) {
        return std::nullopt;
    }
    return Uuid(fmt::format("{{{}}}", text));
}

Uuid Uuid::random() {
    std::random_device source; // of the kernel, not a generator with a seed: names must not meet
    std::uniform_int_distribution<std::size_t> any(0, 15);
    std::string text(shape);
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 'x') {
            text[i] = digits[any(source)];
        }
    }
    // RFC 4122: the version, and the variant in the two upper bits.
    text[14] = '4';
    text[19] = digits[8 + any(source) % 4];
    return Uuid(fmt::format("{{{}}}", text));
}

Uuid Uuid::top() {
    return Uuid("{5fbaabe3-6958-40ff-92a7-860e329aab41}");
}

std::string Uuid::lower() const {
    std::string key = text_;
    std::transform(key.begin(), key.end(), key.begin(), lower_case);
    return key;
}

bool operator==(const Uuid& one, const Uuid& other) {
    return std::equal(one.text_.begin(), one.text_.end(), other.text_.begin(), other.text_.end(),
                      [](char a, char b) { return lower_case(a) == lower_case(b); });
}

} // namespace disktool::ploop
