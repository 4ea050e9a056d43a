// SPDX-License-Identifier: LGPL-2.1-or-later
// SIGINT, SIGTERM and SIGHUP: said at once, and obeyed where stopping is safe.
#pragma once

#include "common/signals.h"

namespace disktool::ploop::cli {

/// Beside what disktool::cli::SignalHandlers does: SIGHUP is one of them, and the first of them prints
/// "Cancelling..." to standard output unless `silent`. One at a time; refers to the token.
class CancelSignals {
  public:
    CancelSignals(CancelToken& token, bool silent);
    CancelSignals(const CancelSignals&) = delete;
    CancelSignals& operator=(const CancelSignals&) = delete;
    ~CancelSignals();

  private:
    disktool::cli::SignalHandlers handlers_;
};

} // namespace disktool::ploop::cli
