// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ploop_error.h"

#include <optional>

namespace disktool::ploop {
namespace {

std::optional<Exit> exit_of(SystemCall call) {
    switch (call) {
    case SystemCall::other:
        break;
    case SystemCall::open:
        return Exit::image_open;
    case SystemCall::create:
        return Exit::no_memory_or_failure; // the page's 1 is "Error creating a file"
    case SystemCall::read:
        return Exit::read;
    case SystemCall::write:
        return Exit::write;
    case SystemCall::stat:
        return Exit::stat;
    case SystemCall::sync:
        return Exit::sync;
    case SystemCall::lock:
        return Exit::lock_call;
    case SystemCall::truncate:
        return Exit::truncate;
    case SystemCall::allocate:
        return Exit::allocate;
    case SystemCall::make_directory:
        return Exit::make_directory;
    case SystemCall::make_node:
        return Exit::make_node;
    case SystemCall::rename:
        return Exit::rename;
    case SystemCall::remove:
        return Exit::remove;
    }
    return std::nullopt;
}

bool is_of_table(Reason reason) {
    return reason == Reason::table_damaged || reason == Reason::partitions_overlap ||
           reason == Reason::partition_beyond_end;
}

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
    Exit exit = is_of_table(error.reason()) ? Exit::change_table : exit_of(error.code());
    if (const auto* of_system = dynamic_cast<const SystemError*>(&error)) {
        exit = exit_of(of_system->call()).value_or(exit);
    }
    if (const auto* known = dynamic_cast<const PloopError*>(&error)) {
        exit = known->exit();
    }
    return static_cast<int>(exit);
}

} // namespace disktool::ploop
