// SPDX-License-Identifier: LGPL-2.1-or-later
// SIGINT and SIGTERM stop a job at a safe point, a second one kills; SIGUSR1 asks where it is.
#pragma once

#include <disktool/progress.h>

namespace disktool::cli {

/// Lives as long as the program does its work; one at a time. Refers to the token.
class SignalHandlers {
  public:
    explicit SignalHandlers(CancelToken& token);
    ~SignalHandlers();
    SignalHandlers(const SignalHandlers&) = delete;
    SignalHandlers& operator=(const SignalHandlers&) = delete;
};

/// Has SIGUSR1 come since the last call?
bool take_state_request() noexcept;

} // namespace disktool::cli
