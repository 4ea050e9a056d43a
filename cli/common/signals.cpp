// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/signals.h"

#include <csignal>

namespace disktool::cli {

namespace {

std::atomic<CancelToken*> active_token{nullptr};
std::atomic<bool> state_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<CancelToken*>::is_always_lock_free,
              "used in signal handlers");

void on_stop(int signal_number) {
    if (CancelToken* token = active_token.load()) {
        token->cancel();
    }
    // The second one is not caught: it kills.
    std::signal(signal_number, SIG_DFL);
}

void on_state_request(int) {
    state_requested.store(true);
}

void handle(int signal_number, void (*handler)(int)) {
    struct sigaction action = {};
    action.sa_handler = handler;
    // No SA_RESTART: a lock that is waited for, or a read from a child, must see the cancellation.
    sigaction(signal_number, &action, nullptr);
}

} // namespace

SignalHandlers::SignalHandlers(CancelToken& token) {
    active_token.store(&token);
    handle(SIGINT, on_stop);
    handle(SIGTERM, on_stop);
    handle(SIGUSR1, on_state_request);
    std::signal(SIGPIPE, SIG_IGN); // a reader of --progress that goes away does not end the job
}

SignalHandlers::~SignalHandlers() {
    for (int signal_number : {SIGINT, SIGTERM, SIGUSR1}) {
        std::signal(signal_number, SIG_DFL);
    }
    active_token.store(nullptr);
}

bool take_state_request() noexcept {
    return state_requested.exchange(false);
}

} // namespace disktool::cli
