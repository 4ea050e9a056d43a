// SPDX-License-Identifier: LGPL-2.1-or-later
#include "words.h"

#include "errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <string_view>

namespace disktool::ploop::cli {

namespace {

/// No disk may be larger: the cluster numbers of version 2 with the smallest cluster end here.
constexpr std::uint64_t too_many_sectors = 0xffffffffull * 512;

struct Number {
    std::uint64_t value = 0;
    bool overflow = false;
    std::string rest; ///< behind the digits
};

/// None: no digit at all.
std::optional<Number> read_number(const std::string& text) {
    Number number;
    char* end = nullptr;
    errno = 0;
    number.value = std::strtoull(text.c_str(), &end, 0);
    number.overflow = errno == ERANGE;
    number.rest = end;
    return end == text.c_str() ? std::nullopt : std::optional(number);
}

/// Sectors in one of the unit; 0: no unit.
std::uint64_t sectors_of(const std::string& unit) {
    if (unit.empty()) {
        return 1;
    }
    switch (unit.size() == 1 ? unit.front() : '?') {
    case 'K':
    case 'k':
        return 1ull << 1;
    case 'M':
    case 'm':
        return 1ull << 11;
    case 'G':
    case 'g':
        return 1ull << 21;
    case 'T':
    case 't':
        return 1ull << 31;
    default:
        return 0;
    }
}

} // namespace

std::uint64_t parse_size(const std::string& option, const std::string& text) {
    const std::optional<Number> number = read_number(text);
    const std::uint64_t unit = number ? sectors_of(number->rest) : 0;
    if (unit == 0) {
        throw UsageError(fmt::format("ERROR: Invalid argument for option {}: {}", option, text));
    }
    if (number->overflow || number->value > (too_many_sectors - 1) / unit) {
        throw UsageError(fmt::format("ERROR: Too large value for option {}: {}", option, text));
    }
    return number->value * unit;
}

std::string parse_name(const std::string& option, const std::string& what, const std::string& value) {
    if (value.empty()) {
        throw ParameterError(
            fmt::format("Option {} names {}, and was given an empty name: is a shell variable not "
                        "set?",
                        option, what));
    }
    return value;
}

std::uint32_t parse_number(const std::string& option, const std::string& text) {
    const std::optional<Number> number = read_number(text);
    if (!number || number->overflow || !number->rest.empty() ||
        number->value > std::numeric_limits<std::uint32_t>::max()) {
        throw UsageError(fmt::format("Option {} takes a number, not \"{}\"", option, text));
    }
    return static_cast<std::uint32_t>(number->value);
}

int parse_file_number(const std::string& option, const std::string& text) {
    const std::uint32_t number = parse_number(option, text);
    if (number > static_cast<std::uint32_t>(std::numeric_limits<int>::max())) {
        throw UsageError(fmt::format("Option {} takes the number of an open file, not \"{}\"", option, text));
    }
    return static_cast<int>(number);
}

Uuid parse_uuid(const std::string& text) {
    const std::optional<Uuid> uuid = Uuid::parse(text);
    if (!uuid) {
        throw ParameterError(fmt::format("Incorrect uuid specified: {}", text));
    }
    return *uuid;
}

std::string parse_plain_uuid(const std::string& text) {
    if (text.starts_with('{') || !Uuid::parse(text)) {
        throw ParameterError(fmt::format("Incorrect uuid specified: {}", text));
    }
    return text;
}

DiskMode parse_format(const std::string& text) {
    if (text == "raw") {
        return DiskMode::raw;
    }
    if (text == "ploop1" || text == "expanded") {
        return DiskMode::expanded;
    }
    if (text == "preallocated") {
        return DiskMode::preallocated;
    }
    throw UsageError(fmt::format("Bad -f argument: {}", text));
}

Version parse_version(const std::string& text) {
    if (text == "1") {
        return Version::v1;
    }
    if (text == "2") {
        return Version::v2;
    }
    throw UsageError(fmt::format("Invalid -v argument: {}", text));
}

std::string parse_filesystem(const std::string& text) {
    if (text != "none" && text != "ext3" && text != "ext4") {
        throw ParameterError(fmt::format("Incorrect file system type specified: {}", text));
    }
    return text;
}

bool ends_in_xml(const std::string& word) {
    return word.ends_with(".xml");
}

std::optional<std::string> descriptor_of(FileDoor& files, const std::string& operand) {
    if (ends_in_xml(operand)) {
        return operand;
    }
    const std::optional<FileStatus> status = files.status(operand);
    if (!status || status->type != FileType::directory) {
        return std::nullopt;
    }
    std::string inside = operand + (operand.ends_with('/') ? "" : "/") + "DiskDescriptor.xml";
    return files.status(inside) ? std::optional(inside) : std::nullopt;
}

std::optional<int> verbosity_after(int verbosity, const std::string& word) {
    if (!word.starts_with("-v")) {
        return std::nullopt;
    }
    const std::string rest = word.substr(1);
    if (std::all_of(rest.begin(), rest.end(), [](char letter) { return letter == 'v'; })) {
        return verbosity + static_cast<int>(rest.size());
    }
    const std::string number = rest.substr(1);
    char* end = nullptr;
    errno = 0;
    const long level = std::strtol(number.c_str(), &end, 10);
    const bool whole = end != number.c_str() && *end == '\0' && errno == 0;
    return whole ? std::optional(static_cast<int>(std::clamp(level, -2l, 99l))) : std::nullopt;
}

} // namespace disktool::ploop::cli
