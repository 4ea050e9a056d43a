// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cluster_mover.h"

#include <disktool/size.h>

#include <fcntl.h>

#include <algorithm>
#include <iterator>

namespace disktool::ploop {

namespace {

constexpr std::size_t most_threads = 4;
constexpr std::size_t most_waiting = 4; ///< jobs
constexpr std::uint64_t part_size = 2 * MiB;

/// What was moved is removed soon: the cache need not be cleared of it then, while the disk has nothing to do.
void forget(const File& file, std::uint64_t offset, std::uint64_t length) {
    if (file.descriptor() >= 0) {
        (void)posix_fadvise(file.descriptor(), static_cast<off_t>(offset), static_cast<off_t>(length),
                            POSIX_FADV_DONTNEED);
    }
}

} // namespace

ClusterMover::~ClusterMover() {
    {
        std::unique_lock lock(mutex_);
        std::ranges::move(waiting_, std::back_inserter(failed_));
        waiting_.clear();
        changed_.wait(lock, [&] { return under_way_ == 0; });
        refer_to_done();
        for (const Job& job : failed_) {
            target_.give_up(job.placement);
        }
        stop_ = true;
        changed_.notify_all();
    }
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void ClusterMover::move(const Delta& source, std::uint64_t first, std::uint64_t count) {
    Job job{&source, first, count};
    if (!target_.place(first)) {
        job.placement = target_.place_new(first, count);
    }
    std::unique_lock lock(mutex_);
    waiting_.push_back(std::move(job));
    changed_.notify_all();
    if (threads_.size() < std::min(most_threads, waiting_.size() + under_way_)) {
        threads_.emplace_back([this] { work(); });
    }
    changed_.wait(lock, [&] { return failure_ || waiting_.size() < most_waiting; });
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    moved_(refer_to_done());
}

void ClusterMover::finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || (waiting_.empty() && under_way_ == 0); });
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    moved_(refer_to_done());
}

/// In the caller's thread: the BAT is not for many.
std::uint64_t ClusterMover::refer_to_done() {
    std::uint64_t clusters = 0;
    for (const Job& job : std::exchange(done_, {})) {
        target_.refer(job.placement);
        clusters += job.count;
    }
    return clusters;
}

void ClusterMover::work() {
    PageBuffer memory;
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
        if (stop_) {
            return;
        }
        Job job = std::move(waiting_.front());
        waiting_.pop_front();
        ++under_way_;
        changed_.notify_all();
        lock.unlock();
        std::exception_ptr failure;
        try {
            copy(job, memory);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        --under_way_;
        (failure ? failed_ : done_).push_back(std::move(job));
        if (failure && !failure_) {
            failure_ = failure;
        }
        changed_.notify_all();
    }
}

void ClusterMover::copy(const Job& job, PageBuffer& memory) const {
    const std::uint64_t cluster = target_.cluster_size();
    for (std::uint64_t at = 0; at < job.count * cluster;) {
        const Range part = part_in_target(job, at, std::min(part_size, job.count * cluster - at));
        const std::span<std::byte> buffer = memory.get(part.length);
        const std::uint64_t guest = job.first * cluster + at;
        job.source->read(guest, buffer);
        forget(job.source->file(), *job.source->place(guest / cluster) + guest % cluster, part.length);
        target_.write_at(part.offset, buffer);
        at += part.length;
    }
}

/// Where the bytes from `at` of the job on belong, as far as they lie one behind the other there.
Range ClusterMover::part_in_target(const Job& job, std::uint64_t at, std::uint64_t longest) const {
    const std::uint64_t cluster = target_.cluster_size();
    const std::uint64_t index = at / cluster, inside = at % cluster;
    const std::vector<std::uint64_t>& places = job.placement.places;
    if (places.empty()) {
        const auto [offset, clusters] = target_.look(job.first + index, divide_up(inside + longest, cluster));
        return {*offset + inside, std::min(longest, clusters * cluster - inside)};
    }
    return {places[index] * cluster + inside, std::min(longest, neighbours(places, index) * cluster - inside)};
}

} // namespace disktool::ploop
