// SPDX-License-Identifier: LGPL-2.1-or-later
#include "request.h"

#include <charconv>
#include <string_view>

namespace disktool::sandbox {

namespace {

template <typename Number>
bool number(std::string_view text, Number& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

bool user(std::string_view text, Request& request) {
    const std::size_t colon = text.find(':');
    uid_t value = 0;
    if (colon == std::string_view::npos || !number(text.substr(0, colon), value) ||
        !number(text.substr(colon + 1), request.group))
        return false;
    request.user = value;
    return true;
}

bool option(std::string_view name, const std::string& value, Request& request) {
    if (name == "--report")
        return number(value, request.report);
    if (name == "--user")
        return user(value, request);
    std::vector<std::string>* const list = name == "--read"    ? &request.readable
                                           : name == "--write" ? &request.writable
                                           : name == "--set"   ? &request.variables
                                                               : nullptr;
    if (list != nullptr)
        list->push_back(value);
    return list != nullptr;
}

} // namespace

std::optional<Request> parse(int count, char** words) {
    const std::vector<std::string> arguments(words + 1, words + count);
    Request request;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "--") {
            request.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
            break;
        }
        if (arguments[i] == "--isolate") {
            request.isolate = true;
            continue;
        }
        if (i + 1 == arguments.size() || !option(arguments[i], arguments[i + 1], request))
            return std::nullopt;
        ++i;
    }
    if (request.command.empty() || request.command[0].front() != '/' || request.report < 0)
        return std::nullopt;
    return request;
}

} // namespace disktool::sandbox
