// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk.h"

#include "raw_extents.h"

#include <disktool/error.h>
#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace disktool::ploop {

ChainDevice::ChainDevice(std::vector<std::unique_ptr<Delta>> deltas, std::string name)
    : deltas_(std::move(deltas)), name_(std::move(name)) {
    if (deltas_.empty()) {
        throw std::logic_error("A disk of no image files");
    }
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
    return deltas_.back()->disk_size();
}

bool ChainDevice::writable() const {
    return deltas_.back()->begun();
}

ChainDevice::Piece ChainDevice::find(std::uint64_t cluster, std::uint64_t limit, std::size_t levels) const {
    for (std::size_t level = levels; level-- > 0;) {
        const Delta::Run run = deltas_[level]->look(cluster, limit);
        if (run.offset) {
            return {level, run.offset, run.clusters};
        }
        limit = run.clusters;
    }
    return {deltas_.size(), std::nullopt, limit};
}

std::optional<std::size_t> ChainDevice::holder(std::uint64_t cluster) const {
    const Piece piece = find(cluster, 1, deltas_.size());
    return piece.offset ? std::optional(piece.level) : std::nullopt;
}

void ChainDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    const std::shared_lock lock(in_place_);
    read_below(offset, buffer, deltas_.size());
}

void ChainDevice::read_below(std::uint64_t offset, std::span<std::byte> buffer, std::size_t levels) const {
    const std::uint64_t unit = deltas_.back()->cluster_size();
    while (!buffer.empty()) {
        const std::uint64_t inside = offset % unit;
        const Piece piece = find(offset / unit, divide_up(inside + buffer.size(), unit), levels);
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), piece.clusters * unit - inside));
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
    const std::shared_lock lock(in_place_);
    const std::uint64_t unit = deltas_.back()->cluster_size();
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const std::uint64_t inside = offset % unit;
        const Piece piece = find(offset / unit, divide_up(inside + range.end() - offset, unit), deltas_.size());
        const std::uint64_t length = std::min(range.end() - offset, piece.clusters * unit - inside);
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
    while (!data.empty()) {
        const std::uint64_t written = overwrite(offset, data);
        offset += written;
        data = data.subspan(written);
        if (!data.empty()) {
            const std::uint64_t unit = top().cluster_size();
            const std::uint64_t inside = offset % unit;
            const Delta::Run run = top().look(offset / unit, divide_up(inside + data.size(), unit));
            const auto part = data.first(std::min<std::uint64_t>(data.size(), run.clusters * unit - inside));
            if (!run.offset) {
                write_new(offset, part);
                offset += part.size();
                data = data.subspan(part.size());
            }
        }
    }
}

/// As far as clusters have places. Returns how much was written.
std::uint64_t ChainDevice::overwrite(std::uint64_t offset, std::span<const std::byte> data) {
    const std::shared_lock lock(in_place_);
    const std::uint64_t unit = top().cluster_size();
    std::uint64_t done = 0;
    while (done < data.size()) {
        const std::uint64_t inside = (offset + done) % unit;
        const Delta::Run run = top().look((offset + done) / unit, divide_up(inside + data.size() - done, unit));
        if (!run.offset) {
            break;
        }
        const std::uint64_t part = std::min<std::uint64_t>(data.size() - done, run.clusters * unit - inside);
        top().write_at(*run.offset + inside, data.subspan(done, part));
        done += part;
    }
    return done;
}

/// Clusters that had no place; another thread may have given them one meanwhile.
void ChainDevice::write_new(std::uint64_t offset, std::span<const std::byte> data) {
    const std::lock_guard lock(allocation_); // so nothing is freed while we look
    const std::uint64_t unit = top().cluster_size();
    constexpr std::uint64_t together = 64 * MiB;
    while (!data.empty()) {
        const std::uint64_t inside = offset % unit;
        const std::uint64_t cluster = offset / unit;
        const Delta::Run run = top().look(cluster, divide_up(inside + data.size(), unit));
        std::uint64_t part = std::min<std::uint64_t>(data.size(), run.clusters * unit - inside);
        if (run.offset) {
            top().write_at(*run.offset + inside, data.first(part));
        } else if (inside == 0 && part >= unit) {
            part = std::min(round_down(part, unit), std::max(together, unit));
            top().allocate(cluster, data.first(part));
        } else {
            part = std::min(part, unit - inside);
            filled_.assign(unit, std::byte{0});
            // What the disk's last cluster has behind its end stays zero.
            const std::uint64_t start = cluster * unit;
            read_below(start, std::span(filled_).first(std::min(unit, size() - start)), deltas_.size() - 1);
            std::ranges::copy(data.first(part), filled_.begin() + static_cast<std::ptrdiff_t>(inside));
            top().allocate(cluster, filled_);
        }
        offset += part;
        data = data.subspan(part);
    }
}

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
    const std::uint64_t unit = top().cluster_size();
    // The last cluster is whole if the disk ends in it.
    const std::uint64_t first = divide_up(range.offset, unit);
    const std::uint64_t last = range.end() == size() ? divide_up(range.end(), unit) : range.end() / unit;
    const bool parts = clearing == Clearing::zero;
    if (first >= last) {
        if (parts) {
            write_zeros(range);
        }
        return;
    }
    if (parts) {
        write_zeros({range.offset, first * unit - range.offset});
    }
    for (std::uint64_t cluster = first; cluster < last;) {
        const Delta::Run run = top().look(cluster, last - cluster);
        if (!run.offset && !parts) {
            cluster += run.clusters;
            continue;
        }
        const Piece below = find(cluster, run.clusters, deltas_.size() - 1);
        const Range whole{cluster * unit, std::min(size(), (cluster + below.clusters) * unit) - cluster * unit};
        if (below.offset) {
            write_zeros(whole);
        } else if (top().raw() && parts) {
            write_zeros(whole);
        } else if (run.offset) {
            const std::scoped_lock locks(allocation_, in_place_);
            top().free(cluster, below.clusters);
        }
        cluster += below.clusters;
    }
    if (parts && last * unit < range.end()) {
        write_zeros({last * unit, range.end() - last * unit});
    }
}

/// Where there is nothing, nothing is written.
void ChainDevice::write_zeros(Range range) {
    const std::uint64_t unit = top().cluster_size();
    std::vector<std::byte> zeros;
    while (!range.empty()) {
        const std::uint64_t inside = range.offset % unit;
        const Piece piece = find(range.offset / unit, divide_up(inside + range.length, unit), deltas_.size());
        std::uint64_t part = std::min(range.length, piece.clusters * unit - inside);
        if (piece.offset && deltas_[piece.level]->raw() && piece.level + 1 == deltas_.size()) {
            top().overwrite_zeros(range.offset, part);
        } else if (piece.offset) {
            part = std::min<std::uint64_t>(part, std::max(unit, 4 * MiB));
            zeros.resize(part);
            write(range.offset, zeros);
        }
        range = {range.offset + part, range.length - part};
    }
}

void ChainDevice::flush() {
    const std::lock_guard lock(allocation_);
    top().flush();
}

} // namespace disktool::ploop
