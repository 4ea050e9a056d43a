// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/error.h>

#include <cerrno>
#include <system_error>

namespace disktool {

namespace {

ErrorCode code_of(int error_number) {
    switch (error_number) {
    case ENOENT:
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
        return ErrorCode::not_found;
    case ENOSPC:
    case EDQUOT:
        return ErrorCode::no_space;
    default:
        return ErrorCode::failure;
    }
}

std::string sentence_of(std::string_view action, std::string_view path, int error_number) {
    // std::generic_category rather than strerror, which is not safe in threads.
    return std::string(action) + " " + std::string(path) + ": " + std::generic_category().message(error_number);
}

} // namespace

std::string_view name(ErrorCode code) {
    switch (code) {
    case ErrorCode::failure:
        return "failure";
    case ErrorCode::usage:
        return "usage";
    case ErrorCode::not_found:
        return "not_found";
    case ErrorCode::locked:
        return "locked";
    case ErrorCode::no_space:
        return "no_space";
    case ErrorCode::unsupported:
        return "unsupported";
    case ErrorCode::damaged:
        return "damaged";
    case ErrorCode::size_impossible:
        return "size_impossible";
    case ErrorCode::program_missing:
        return "program_missing";
    case ErrorCode::recovery:
        return "recovery";
    case ErrorCode::interrupted:
        return "interrupted";
    }
    return "failure";
}

Error::~Error() = default;

SystemError::SystemError(std::string_view action, std::string_view path, int error_number, SystemCall call)
    : Error(code_of(error_number), sentence_of(action, path, error_number)), error_number_(error_number),
      call_(call) {}

SystemError::~SystemError() = default;

} // namespace disktool
