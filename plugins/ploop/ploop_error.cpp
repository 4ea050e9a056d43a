// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ploop_error.h"

namespace disktool::ploop {
namespace {

Exit exit_of(ErrorCode code) {
    switch (code) {
    case ErrorCode::not_found:
    case ErrorCode::damaged:
        return Exit::image_open;
    case ErrorCode::locked:
        return Exit::bad_descriptor;
    case ErrorCode::no_space:
        return Exit::write;
    case ErrorCode::usage:
    case ErrorCode::size_impossible:
        return Exit::invalid_parameter;
    default:
        return Exit::no_memory_or_failure;
    }
}

} // namespace

int exit_code_of(const Error& error) {
    const auto* known = dynamic_cast<const PloopError*>(&error);
    return static_cast<int>(known != nullptr ? known->exit() : exit_of(error.code()));
}

} // namespace disktool::ploop
