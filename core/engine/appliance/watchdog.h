// SPDX-License-Identifier: LGPL-2.1-or-later
// libguestfs cannot be told to stop what it waits for; it notices when its QEMU is gone.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/progress.h>

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

namespace disktool {

/// While it lives, a thread looks at a cancel token and at the time. When one says stop, it calls `signal` with
/// SIGTERM again and again, after two seconds with SIGKILL, until it goes.
class Watchdog {
  public:
    using Clock = std::chrono::steady_clock;

    Watchdog(const CancelToken* cancel, Clock::time_point deadline, std::function<void(int)> signal);
    ~Watchdog() = default; ///< waits for the thread, at most one look

    bool expired() const { return expired_; } ///< it was the time

  private:
    void watch(const std::stop_token& stop);

    const CancelToken* cancel_;
    const Clock::time_point deadline_;
    const std::function<void(int)> signal_;
    std::atomic<bool> expired_{false};
    std::jthread thread_; ///< last: it uses all of the above
};

/// The processes that the thread which made this starts from then on, and waits for itself.
class ChildrenOfThread {
  public:
    ChildrenOfThread();
    /// Threads: any. supermin is left alone: it ends by itself within seconds, and would leave a half-built
    /// appliance of hundreds of MiB behind.
    void signal(int number) const;

  private:
    std::set<pid_t> children() const;

    pid_t thread_;
    std::set<pid_t> before_;
};

/// None (a descriptor that is not open) when it is gone.
Descriptor open_process(pid_t pid);
void signal_process(const Descriptor& process, int number);

} // namespace disktool
