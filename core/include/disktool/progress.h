// SPDX-License-Identifier: LGPL-2.1-or-later
// How a running job tells where it is, and learns that it should stop.
#pragma once

#include <disktool/api.h>

#include <atomic>
#include <cstdint>
#include <string_view>

namespace disktool {

/// Set by SIGINT and SIGTERM; steps look at it where stopping is safe. Threads: any; cancel() may be called
/// from a signal handler.
class DISKTOOL_API CancelToken {
  public:
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
    bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }
    /// Throws Error(interrupted) when cancelled.
    void check() const;

  private:
    std::atomic<bool> cancelled_{false};
};

/// Receives the progress of a job. Called from the thread that runs it.
class DISKTOOL_API ProgressSink {
  public:
    ProgressSink() = default;
    ProgressSink(const ProgressSink&) = delete;
    ProgressSink& operator=(const ProgressSink&) = delete;
    virtual ~ProgressSink();

    struct State {
        std::string_view step; ///< text of the running step
        std::size_t index;     ///< of it, from 0
        std::size_t steps;
        std::uint64_t done;  ///< bytes of work of the whole job
        std::uint64_t total; ///< bytes planned
    };
    virtual void update(const State& state) = 0;
    virtual void finished(bool success) = 0;
};

} // namespace disktool
