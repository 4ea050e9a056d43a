// SPDX-License-Identifier: LGPL-2.1-or-later
// Copying clusters into a delta with several threads, so that the host's disk reads and writes at once.
#pragma once

#include "delta.h"
#include "page_buffer.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace disktool::ploop {

/// The target has begun, and is changed by nobody else meanwhile; the sources are not changed at all. All must
/// outlive it. A cluster is in the target's BAT (in memory) only when all of it was written; nothing is
/// flushed. Threads: called by one. It has up to four of its own, which come when there is work for them.
class ClusterMover {
  public:
    /// `moved` hears how many clusters were written, now and then, in the caller's thread.
    ClusterMover(Delta& target, std::function<void(std::uint64_t clusters)> moved)
        : target_(target), moved_(std::move(moved)) {}
    ClusterMover(const ClusterMover&) = delete;
    ClusterMover& operator=(const ClusterMover&) = delete;
    /// What has not begun does not begin, what is under way is waited for.
    ~ClusterMover();

    /// Has clusters copied from `first` on, which the source holds, and which are all there or all missing in
    /// the target. Waits while there is much to do already. Throws what copying others has thrown.
    void move(const Delta& source, std::uint64_t first, std::uint64_t count);
    /// All is written when it returns.
    void finish();

  private:
    struct Job {
        const Delta* source;
        std::uint64_t first, count;
        Delta::Placement placement{}; ///< without places: over what is there
    };
    void work();
    void copy(const Job& job, PageBuffer& memory) const;
    Range part_in_target(const Job& job, std::uint64_t at, std::uint64_t longest) const;
    std::uint64_t refer_to_done(); ///< with mutex_; how many clusters

    Delta& target_;
    const std::function<void(std::uint64_t)> moved_;
    std::vector<std::thread> threads_;

    std::mutex mutex_;
    std::condition_variable changed_;
    // With mutex_.
    std::deque<Job> waiting_;
    std::size_t under_way_ = 0;
    std::vector<Job> done_, failed_;
    std::exception_ptr failure_; ///< the first one
    bool stop_ = false;
};

} // namespace disktool::ploop
