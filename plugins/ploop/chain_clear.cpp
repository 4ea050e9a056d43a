// SPDX-License-Identifier: LGPL-2.1-or-later
// Discards and zeros of a chain: clusters that are given back, and those that must be written to read as zeros.
#include "disk.h"

#include <disktool/size.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>

namespace disktool::ploop {

namespace {

/// Only ever read. Not const, so that it takes no room in the program's file.
constexpr std::size_t zeros_size = 1 * MiB;
alignas(4096) std::byte zeros[zeros_size];

} // namespace

void ChainDevice::discard(Range range) {
    if (!writable()) {
        BlockDevice::discard(range);
    }
    check_range(range.offset, range.length);
    clear(range, Clearing::discard);
}

void ChainDevice::zero(Range range) {
    if (!writable()) {
        BlockDevice::zero(range);
    }
    check_range(range.offset, range.length);
    clear(range, Clearing::zero);
}

void ChainDevice::clear(Range range, Clearing clearing) {
    if (range.empty()) {
        return;
    }
    // The last cluster is whole if the disk ends in it.
    const std::uint64_t first = divide_up(range.offset, unit_);
    const std::uint64_t last = range.end() == size() ? divide_up(range.end(), unit_) : range.end() / unit_;
    const bool parts = clearing == Clearing::zero;
    if (first >= last) {
        if (parts) {
            write_zeros(range);
        }
        return;
    }
    if (parts) {
        write_zeros({range.offset, first * unit_ - range.offset});
    }
    for (std::uint64_t cluster = first; cluster < last;) {
        cluster = clear_clusters(cluster, last, clearing);
    }
    if (parts && last * unit_ < range.end()) {
        write_zeros({last * unit_, range.end() - last * unit_});
    }
}

ChainDevice::Cleared ChainDevice::fate_of(std::uint64_t cluster, std::uint64_t limit, Clearing clearing) const {
    const Piece own = find_own(cluster, limit);
    if (!own.offset && clearing == Clearing::discard) {
        return {Fate::nothing, own.clusters};
    }
    const Piece below = find(cluster, own.clusters, 0, lowest_own());
    if (below.offset || (own.offset && deltas_[own.level]->raw() && clearing == Clearing::zero)) {
        return {Fate::zeros, below.clusters};
    }
    return {own.offset ? Fate::free : Fate::nothing, below.clusters};
}

/// Some of them. Returns the first one that is left.
std::uint64_t ChainDevice::clear_clusters(std::uint64_t cluster, std::uint64_t end, Clearing clearing) {
    Cleared next{Fate::nothing, 0};
    {
        const std::shared_lock inside(gate_);
        next = fate_of(cluster, end - cluster, clearing);
        if (next.fate == Fate::free && top().raw()) {
            const std::lock_guard placing(allocation_);
            top().free(cluster, next.clusters); // its places are nobody else's afterwards
            next.fate = Fate::nothing;
        }
    }
    if (next.fate == Fate::zeros) {
        const std::uint64_t start = cluster * unit_;
        write_zeros({start, std::min(size(), start + next.clusters * unit_) - start});
    }
    if (next.fate != Fate::free) {
        return cluster + next.clusters;
    }
    // Many at once, since everybody waits for it.
    constexpr unsigned most_runs = 4096;
    const std::lock_guard alone(gate_);
    const std::lock_guard placing(allocation_);
    for (unsigned runs = 0; runs < most_runs && cluster < end; ++runs) {
        next = fate_of(cluster, end - cluster, clearing);
        if (next.fate == Fate::zeros) {
            break;
        }
        if (next.fate == Fate::free) {
            free_clusters(cluster, next.clusters);
        }
        cluster += next.clusters;
    }
    return cluster;
}

/// In all deltas that are written to: the lower one first, which then reaches the disk first, too.
void ChainDevice::free_clusters(std::uint64_t cluster, std::uint64_t count) {
    for (std::size_t level = lowest_own(); level < deltas_.size(); ++level) {
        deltas_[level]->free(cluster, count);
    }
}

/// Where there is nothing, nothing is written.
void ChainDevice::write_zeros(Range range) {
    while (!range.empty()) {
        std::uint64_t done = 0;
        if (write_some_zeros(range, done)) {
            write(range.offset, std::span(zeros).first(done));
        }
        range = {range.offset + done, range.length - done};
    }
}

/// True: as many zeros as `done` says are to be written at the start of the range; else they are there.
bool ChainDevice::write_some_zeros(Range range, std::uint64_t& done) {
    const std::shared_lock gate(gate_);
    const std::uint64_t inside = range.offset % unit_;
    const Piece piece = find(range.offset / unit_, divide_up(inside + range.length, unit_), 0, deltas_.size());
    done = std::min(range.length, piece.clusters * unit_ - inside);
    if (!piece.offset) {
        return false;
    }
    if (deltas_[piece.level]->raw() && piece.level >= lowest_own()) {
        deltas_[piece.level]->overwrite_zeros(range.offset, done);
        return false;
    }
    done = std::min<std::uint64_t>(done, zeros_size);
    return true;
}

} // namespace disktool::ploop
