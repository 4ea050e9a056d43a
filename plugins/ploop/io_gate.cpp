// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io_gate.h"

namespace disktool::ploop {

void IoGate::lock_shared() noexcept {
    for (;;) {
        std::uint32_t seen = inside_.load(std::memory_order_relaxed);
        while ((seen & closed) == 0) {
            if (inside_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
                return;
            }
        }
        inside_.wait(seen, std::memory_order_relaxed);
    }
}

void IoGate::unlock_shared() noexcept {
    const std::uint32_t before = inside_.fetch_sub(1, std::memory_order_release);
    if (before == (closed | 1)) {
        inside_.notify_all();
    }
}

void IoGate::lock() {
    closing_.lock();
    std::uint32_t seen = inside_.fetch_or(closed, std::memory_order_acquire) | closed;
    while (seen != closed) {
        inside_.wait(seen, std::memory_order_acquire);
        seen = inside_.load(std::memory_order_acquire);
    }
}

void IoGate::unlock() noexcept {
    inside_.fetch_and(~closed, std::memory_order_release);
    inside_.notify_all();
    closing_.unlock();
}

} // namespace disktool::ploop
