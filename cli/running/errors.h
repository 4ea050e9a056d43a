// SPDX-License-Identifier: LGPL-2.1-or-later
// How a command line goes wrong.
#pragma once

#include "ploop_error.h"

#include <string>

namespace disktool::ploop::cli {

/// The words do not make a request: the message (which may be empty), then the command's usage.
class UsageError : public PloopError {
  public:
    explicit UsageError(const std::string& message, Exit exit = Exit::invalid_parameter)
        : PloopError(exit, ErrorCode::usage, message) {}
};

/// The words are understood, but what they ask for cannot be: the message alone.
class ParameterError : public PloopError {
  public:
    explicit ParameterError(const std::string& message)
        : PloopError(Exit::invalid_parameter, ErrorCode::usage, message) {}
};

/// --help: the usage, as a result.
struct HelpRequested {};

} // namespace disktool::ploop::cli
