// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk.h"

#include "raw_extents.h"

#include <disktool/error.h>
#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <shared_mutex>
#include <stdexcept>

namespace disktool::ploop {

namespace {

std::uint64_t cluster_size_of(const ChainDevice::Deltas& deltas) {
    if (deltas.empty()) {
        throw std::logic_error("A disk of no image files");
    }
    return deltas.back()->cluster_size();
}

} // namespace

ChainDevice::ChainDevice(Deltas deltas, std::string name)
    : unit_(cluster_size_of(deltas)), name_(std::move(name)), deltas_(std::move(deltas)) {
    for (const auto& delta : deltas_) {
        if (delta->cluster_size() != top().cluster_size()) {
            throw Error(
                ErrorCode::damaged,
                fmt::format("{} has clusters of {}, but {} of {}: they do not belong to one disk; look at its "
                            "DiskDescriptor.xml",
                            delta->path(), size_text(delta->cluster_size()), top().path(),
                            size_text(top().cluster_size())),
                Reason::image_corrupt);
        }
        if (delta->raw() && delta != deltas_.front()) {
            throw Error(
                ErrorCode::damaged,
                fmt::format(
                    "{} is raw and lies on another image, which would never be read; look at the disk's "
                    "DiskDescriptor.xml",
                    delta->path()),
                Reason::image_corrupt);
        }
    }
}

std::uint64_t ChainDevice::size() const {
    const std::shared_lock inside(gate_);
    return disk_size();
}

bool ChainDevice::writable() const {
    const std::shared_lock inside(gate_);
    return deltas_.back()->begun();
}

ChainDevice::Piece ChainDevice::find(std::uint64_t cluster, std::uint64_t limit, std::size_t lowest,
                                     std::size_t levels) const {
    for (std::size_t level = levels; level-- > lowest;) {
        const Delta::Run run = deltas_[level]->look(cluster, limit);
        if (run.offset) {
            return {level, run.offset, run.clusters};
        }
        limit = run.clusters;
    }
    return {deltas_.size(), std::nullopt, limit};
}

std::optional<std::size_t> ChainDevice::holder(std::uint64_t cluster) const {
    const Piece piece = find(cluster, 1, 0, deltas_.size());
    return piece.offset ? std::optional(piece.level) : std::nullopt;
}

void ChainDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    const std::shared_lock inside(gate_);
    read_below(offset, buffer, deltas_.size());
}

bool ChainDevice::has_all(const Piece& piece, Range range) const {
    return piece.offset && piece.clusters * unit_ - range.offset % unit_ >= range.length;
}

/// None: not for direct I/O.
std::optional<BlockDevice::Place> ChainDevice::place_in(const Piece& piece, Range range,
                                                        const File::Direct& direct) const {
    const std::uint64_t offset = *piece.offset + range.offset % unit_;
    if (direct.descriptor < 0 || (offset | range.length) % direct.unit != 0) {
        return std::nullopt;
    }
    return Place{direct.descriptor, direct.cached, offset, deltas_[piece.level]->raw(),
                 static_cast<unsigned>(piece.level)};
}

std::optional<BlockDevice::Place> ChainDevice::hold(Range range) {
    check_range(range.offset, range.length);
    std::shared_lock inside(gate_);
    const Piece piece =
        find(range.offset / unit_, divide_up(range.offset % unit_ + range.length, unit_), 0, deltas_.size());
    // Behind the end of a shorter disk its last cluster says nothing.
    if (!has_all(piece, range) || range.end() > deltas_[piece.level]->disk_size()) {
        return std::nullopt;
    }
    const auto place = place_in(piece, range, deltas_[piece.level]->file().direct());
    if (place) {
        inside.release(); // not unlocked
    }
    return place;
}

void ChainDevice::release() noexcept {
    gate_.unlock_shared();
}

std::optional<BlockDevice::Place> ChainDevice::hold_to_write(Range range) {
    check_range(range.offset, range.length);
    if (!writable()) {
        return std::nullopt;
    }
    std::shared_lock inside(gate_);
    const Piece own = find_own(range.offset / unit_, divide_up(range.offset % unit_ + range.length, unit_));
    if (!has_all(own, range)) {
        return std::nullopt;
    }
    const File::Direct direct = deltas_[own.level]->write_beside();
    const auto place = direct.writes ? place_in(own, range, direct) : std::nullopt;
    if (place) {
        inside.release(); // not unlocked
    }
    return place;
}

void ChainDevice::written(const Place& place, std::uint64_t length) noexcept {
    if (length > 0) {
        deltas_[place.image]->written_at(place.offset, length);
    }
    release();
}

void ChainDevice::read_below(std::uint64_t offset, std::span<std::byte> buffer, std::size_t levels) const {
    while (!buffer.empty()) {
        const std::uint64_t inside = offset % unit_;
        const Piece piece = find(offset / unit_, divide_up(inside + buffer.size(), unit_), 0, levels);
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), piece.clusters * unit_ - inside));
        std::uint64_t there = 0;
        if (piece.offset) {
            // Behind the end of a shorter disk its last cluster says nothing.
            const Delta& delta = *deltas_[piece.level];
            there = std::min<std::uint64_t>(part.size(), std::max(offset, delta.disk_size()) - offset);
            delta.read_at(*piece.offset + inside, part.first(there));
        }
        std::ranges::fill(part.subspan(there), std::byte{0});
        offset += part.size();
        buffer = buffer.subspan(part.size());
    }
}

std::vector<Extent> ChainDevice::extents(Range range) {
    check_range(range.offset, range.length);
    const std::shared_lock lock(gate_);
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const std::uint64_t inside = offset % unit_;
        const Piece piece =
            find(offset / unit_, divide_up(inside + range.end() - offset, unit_), 0, deltas_.size());
        const std::uint64_t length = std::min(range.end() - offset, piece.clusters * unit_ - inside);
        append_extents(result, {offset, length}, piece);
        offset += length;
    }
    return result;
}

void ChainDevice::append_extents(std::vector<Extent>& result, Range range, const Piece& piece) const {
    if (!piece.offset) {
        append_extent(result, range, ExtentKind::unallocated);
        return;
    }
    const Delta& delta = *deltas_[piece.level];
    if (!delta.raw()) {
        append_extent(result, range, ExtentKind::data);
        return;
    }
    append_raw_extents(result, delta.file(), range);
}

void ChainDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (!writable()) {
        BlockDevice::write(offset, data);
    }
    check_range(offset, data.size());
    const std::shared_lock inside_gate(gate_);
    while (!data.empty()) {
        const std::uint64_t written = overwrite(offset, data);
        offset += written;
        data = data.subspan(written);
        if (!data.empty()) {
            const std::uint64_t inside = offset % unit_;
            const Piece own = find_own(offset / unit_, divide_up(inside + data.size(), unit_));
            const auto part = data.first(std::min<std::uint64_t>(data.size(), own.clusters * unit_ - inside));
            if (!own.offset) {
                write_new(offset, part);
                offset += part.size();
                data = data.subspan(part.size());
            }
        }
    }
}

/// As far as clusters have places. Returns how much was written.
std::uint64_t ChainDevice::overwrite(std::uint64_t offset, std::span<const std::byte> data) {
    std::uint64_t done = 0;
    while (done < data.size()) {
        const std::uint64_t inside = (offset + done) % unit_;
        const Piece own = find_own((offset + done) / unit_, divide_up(inside + data.size() - done, unit_));
        if (!own.offset) {
            break;
        }
        const std::uint64_t part = std::min<std::uint64_t>(data.size() - done, own.clusters * unit_ - inside);
        deltas_[own.level]->write_at(*own.offset + inside, data.subspan(done, part));
        done += part;
    }
    return done;
}

/// Clusters that had no place; another thread may have given them one meanwhile.
void ChainDevice::write_new(std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
        const std::uint64_t done = write_some_new(offset, data);
        offset += done;
        data = data.subspan(done);
    }
}

/// Returns how much was written; 0: another thread was at it.
std::uint64_t ChainDevice::write_some_new(std::uint64_t offset, std::span<const std::byte> data) {
    constexpr std::uint64_t together = 64 * MiB;
    const std::uint64_t inside = offset % unit_;
    const std::uint64_t cluster = offset / unit_;
    std::unique_lock placing(allocation_);
    const Piece own = find_own(cluster, divide_up(inside + data.size(), unit_));
    std::uint64_t part = std::min<std::uint64_t>(data.size(), own.clusters * unit_ - inside);
    if (own.offset) {
        placing.unlock();
        deltas_[own.level]->write_at(*own.offset + inside, data.first(part));
        return part;
    }
    const bool whole = inside == 0 && part >= unit_;
    part =
        whole ? std::min(round_down(part, unit_), std::max(together, unit_)) : std::min(part, unit_ - inside);
    const Range clusters{cluster, divide_up(part, unit_)};
    if (std::ranges::any_of(placing_, [&](const Range& other) {
            return other.offset < clusters.end() && clusters.offset < other.end();
        })) {
        placed_.wait(placing);
        return 0;
    }
    placing_.push_back(clusters);
    const auto end = [&] {
        std::erase(placing_, clusters);
        placed_.notify_all();
    };
    try {
        place(placing, cluster,
              whole ? data.first(part) : filled_cluster(cluster, inside, data.first(part), placing));
    } catch (...) {
        end();
        throw;
    }
    end();
    return part;
}

/// A new cluster with these bytes in it, and around them what shows through from below. The lock is not held
/// meanwhile. In memory of the thread's own, until it asks again.
std::span<const std::byte> ChainDevice::filled_cluster(std::uint64_t cluster, std::uint64_t inside,
                                                       std::span<const std::byte> data,
                                                       std::unique_lock<std::mutex>& placing) {
    thread_local PageBuffer buffer;
    placing.unlock();
    std::span<std::byte> filled;
    try {
        filled = buffer.get(unit_);
        // What the disk's last cluster has behind its end stays zero.
        const std::uint64_t start = cluster * unit_;
        const std::uint64_t there = std::min(unit_, disk_size() - start);
        read_below(start, filled.first(there), lowest_own());
        std::ranges::fill(filled.subspan(there), std::byte{0});
        std::ranges::copy(data, filled.begin() + static_cast<std::ptrdiff_t>(inside));
    } catch (...) {
        placing.lock();
        throw;
    }
    placing.lock();
    return filled;
}

/// The clusters are in placing_. The lock is held when it is called and when it returns or throws, but not
/// while it writes.
void ChainDevice::place(std::unique_lock<std::mutex>& placing, std::uint64_t cluster,
                        std::span<const std::byte> data) {
    Delta& target = *deltas_[lowest_own()];
    target.grow_file_by(file_step_);
    const Delta::Placement placement = target.place_new(cluster, data.size() / unit_);
    placing.unlock();
    try {
        target.fill(placement, data);
    } catch (...) {
        placing.lock();
        target.give_up(placement);
        throw;
    }
    placing.lock();
    target.refer(placement);
}

void ChainDevice::flush() {
    // Those who come while one is under way wait for the next, which is for all of them.
    const std::uint64_t wanted = flushes_begun_ + 1;
    const std::lock_guard lock(flushing_);
    if (flushed_ >= wanted) {
        return;
    }
    const std::uint64_t number = ++flushes_begun_;
    flush_deltas();
    flushed_ = number;
}

/// With flushing_. A delta that is being drained comes last: when an entry of it is gone from the disk, the one
/// below has the cluster there.
void ChainDevice::flush_deltas() {
    if (!deltas_.back()->begun()) {
        return;
    }
    if (owed_) {
        owed_();
        owed_ = nullptr;
    }
    const std::span own = std::span(deltas_).subspan(lowest_own());
    {
        const std::lock_guard placing(allocation_);
        std::size_t gathered = 0;
        try {
            for (; gathered < own.size(); ++gathered) {
                own[gathered]->gather();
            }
        } catch (...) {
            while (gathered > 0) {
                own[--gathered]->take_back();
            }
            throw;
        }
    }
    try {
        for (const auto& delta : own) {
            delta->store_gathered();
        }
    } catch (...) {
        const std::lock_guard placing(allocation_);
        for (const auto& delta : own) {
            delta->take_back();
        }
        throw;
    }
    const std::lock_guard placing(allocation_);
    for (const auto& delta : own) {
        delta->settle();
    }
}

} // namespace disktool::ploop
