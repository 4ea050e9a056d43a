// SPDX-License-Identifier: LGPL-2.1-or-later
// Threads that answer requests.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <functional>

namespace disktool {

/// A thread with a stack of 256 KiB: with locked memory all of it is there, used or not, in each of dozens of
/// them. The destructor waits for its end.
class WorkerThread {
  public:
    /// `work` must not throw. Throws SystemError.
    explicit WorkerThread(std::function<void()> work);
    ~WorkerThread() { pthread_join(thread_, nullptr); }
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;

    void signal(int number) noexcept { pthread_kill(thread_, number); }

  private:
    std::function<void()> work_;
    pthread_t thread_{};
};

} // namespace disktool
