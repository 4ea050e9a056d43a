// SPDX-License-Identifier: LGPL-2.1-or-later
// What is done to a chain while it is in use: other levels, a top that goes, a file that is cut.
#include "disk.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <algorithm>
#include <shared_mutex>
#include <stdexcept>

namespace disktool::ploop {

ChainDevice::Pause::Pause(ChainDevice& device)
    : device_(device), flushing_(device.flushing_), start_(std::chrono::steady_clock::now()),
      gate_(device.gate_) {}

std::chrono::microseconds ChainDevice::Pause::length() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start_);
}

void ChainDevice::Pause::flush() {
    device_.flush_deltas();
}

void ChainDevice::Pause::push_top(std::unique_ptr<Delta> delta) {
    if (!delta->begun() || delta->disk_size() < device_.disk_size() || device_.draining_ ||
        delta->cluster_size() != device_.unit_) {
        throw std::logic_error(delta->path() + " cannot be a new top");
    }
    device_.deltas_.push_back(std::move(delta));
}

ChainDevice::Deltas ChainDevice::Pause::exchange(std::size_t first, std::size_t count, Deltas others) {
    Deltas& deltas = device_.deltas_;
    if (first + count > deltas.size() || deltas.size() - count + others.size() == 0) {
        throw std::logic_error("Levels of a disk that it has not");
    }
    const auto from = deltas.begin() + static_cast<std::ptrdiff_t>(first);
    const auto to = from + static_cast<std::ptrdiff_t>(count);
    Deltas old(std::make_move_iterator(from), std::make_move_iterator(to));
    deltas.insert(deltas.erase(from, to), std::make_move_iterator(others.begin()),
                  std::make_move_iterator(others.end()));
    return old;
}

void ChainDevice::Pause::start_draining() {
    const Deltas& deltas = device_.deltas_;
    if (deltas.size() < 2 || !deltas[deltas.size() - 2]->begun() ||
        deltas[deltas.size() - 2]->clusters() < deltas.back()->clusters()) {
        throw std::logic_error(device_.name_ + ": its top cannot be drained");
    }
    device_.draining_ = true;
}

void ChainDevice::Pause::stop_draining() {
    device_.draining_ = false;
}

void ChainDevice::end() {
    for (std::size_t level = lowest_own(); level < deltas_.size(); ++level) {
        deltas_[level]->end();
    }
}

ChainDevice::Drained ChainDevice::drain(std::uint64_t cluster, std::uint64_t most_bytes) {
    const std::lock_guard alone(gate_);
    const std::lock_guard placing(allocation_);
    if (!draining_) {
        throw std::logic_error(name_ + ": is not being drained");
    }
    Delta& from = *deltas_.back();
    Delta& to = *deltas_[deltas_.size() - 2];
    const std::uint64_t most = std::max<std::uint64_t>(1, most_bytes / unit_);
    std::uint64_t moved = 0;
    while (cluster < from.clusters() && moved < most) {
        // Those that lie one behind the other in both, or are new in the lower one.
        Delta::Run run = from.look(cluster, from.clusters() - cluster);
        if (!run.offset) {
            cluster += run.clusters;
            continue;
        }
        const Delta::Run below = to.look(cluster, std::min(run.clusters, most - moved));
        const std::uint64_t count = below.clusters;
        const std::uint64_t start = cluster * unit_;
        // A disk may end within its last cluster.
        const std::uint64_t length = std::min(from.disk_size(), start + count * unit_) - start;
        const std::span<std::byte> data = filled_.get(count * unit_);
        from.read_at(*run.offset, data);
        if (below.offset) {
            to.write_at(*below.offset, data.first(to.raw() ? length : data.size()));
        } else {
            to.allocate(cluster, data);
        }
        from.free(cluster, count);
        cluster += count;
        moved += count;
    }
    return {cluster, moved};
}

std::vector<Delta::Move> ChainDevice::tail(std::uint64_t most) {
    const std::shared_lock inside(gate_);
    const std::lock_guard placing(allocation_);
    return top().tail(most);
}

std::uint64_t ChainDevice::move_down(std::span<const Delta::Move> moves) {
    const std::lock_guard alone(gate_);
    const std::lock_guard placing(allocation_);
    return top().move_down(moves);
}

std::uint64_t ChainDevice::cut_tail() {
    const std::shared_lock inside(gate_);
    const std::lock_guard placing(allocation_);
    return top().cut_tail();
}

std::uint64_t ChainDevice::make_way(std::uint64_t disk_sectors, std::uint64_t most) {
    const std::lock_guard alone(gate_);
    const std::lock_guard placing(allocation_);
    return top().make_way(disk_sectors, most);
}

void ChainDevice::clear_way(std::uint64_t disk_sectors) {
    const std::shared_lock inside(gate_);
    top().clear_way(disk_sectors);
}

std::uint64_t ChainDevice::holes() const {
    const std::shared_lock inside(gate_);
    const std::lock_guard placing(allocation_);
    return deltas_.back()->hole_count();
}

} // namespace disktool::ploop
