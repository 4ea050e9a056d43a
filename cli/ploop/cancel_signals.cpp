// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cancel_signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace disktool::ploop::cli {

namespace {

std::atomic<CancelToken*> active_token{nullptr};
std::atomic<bool> is_silent{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<CancelToken*>::is_always_lock_free,
              "used in signal handlers");

void on_stop(int signal_number) {
    const int kept = errno;
    CancelToken* token = active_token.load();
    if (token != nullptr && !token->cancelled()) {
        token->cancel();
        constexpr std::string_view line = "Cancelling...\n";
        if (!is_silent.load() && ::write(STDOUT_FILENO, line.data(), line.size()) < 0) {
            errno = 0; // nobody reads it any more
        }
    }
    std::signal(signal_number, SIG_DFL); // the second one is not caught: it kills
    errno = kept;
}

} // namespace

CancelSignals::CancelSignals(CancelToken& token, bool silent) : handlers_(token) {
    is_silent.store(silent);
    active_token.store(&token);
    struct sigaction action = {};
    action.sa_handler = on_stop;
    for (const int number : {SIGINT, SIGTERM}) {
        sigaction(number, &action, nullptr);
    }
    struct sigaction present = {};
    // A job under nohup(1) goes on when the terminal is closed.
    if (sigaction(SIGHUP, nullptr, &present) == 0 && present.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &action, nullptr);
    }
}

CancelSignals::~CancelSignals() {
    for (const int number : {SIGINT, SIGTERM}) {
        std::signal(number, SIG_DFL);
    }
    struct sigaction present = {};
    if (sigaction(SIGHUP, nullptr, &present) == 0 && present.sa_handler == on_stop) {
        std::signal(SIGHUP, SIG_DFL);
    }
    active_token.store(nullptr);
}

} // namespace disktool::ploop::cli
