// SPDX-License-Identifier: LGPL-2.1-or-later
#include "work.h"

#include "bat_switch.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/extent_list.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace disktool::ploop {

namespace {
/// A file may be made to have more of them than there is memory; with so many, the end of the file does as
/// well.
constexpr std::uint64_t most_holes = 1 << 20;
} // namespace

Work::Work(Doors doors, Delta& top, BlockDevice& present, BlockDevice* below, std::uint64_t size,
           std::function<void(std::uint64_t)> settled, std::function<void()> done)
    : doors_(doors), top_(top), present_(present), below_(below), size_(size),
      cluster_size_(top.cluster_size()), file_size_(top.file().status().size), settled_(std::move(settled)),
      done_(std::move(done)), unused_(top.hole_count() <= most_holes ? top.holes() : std::set<std::uint64_t>()),
      end_(top.file_clusters()) {
    const std::uint64_t sectors = divide_up(size, sector_size);
    if (sectors > largest_disk(top.header().version, top.header().cluster_sectors)) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: an image of version {} with clusters of {} holds at most {}", top.path(),
                                static_cast<std::uint32_t>(top.header().version), size_text(cluster_size_),
                                size_text(largest_disk(top.header().version, top.header().cluster_sectors) *
                                          sector_size)),
                    Reason::size_too_large);
    }
    first_place_ = std::max(top.header().data_start(),
                            table_clusters(divide_up(size, cluster_size_), top.header().cluster_sectors));
    end_ = std::max(end_, first_place_);
    unused_.erase(unused_.begin(), unused_.lower_bound(first_place_));
}

Work::~Work() {
    abandon();
}

void Work::abandon() noexcept {
    if (over_) {
        return;
    }
    over_ = true;
    try {
        if (top_.file().status().size > file_size_) {
            top_.file().truncate(file_size_);
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning,
            fmt::format("What the work had taken of the host could not be given back; the next run "
                        "does: {}",
                        error.what()));
    }
}

std::uint64_t Work::new_place() {
    ++taken_;
    if (unused_.empty()) {
        return end_++ * cluster_size_;
    }
    const std::uint64_t place = *unused_.begin();
    unused_.erase(unused_.begin());
    return place * cluster_size_;
}

std::uint64_t Work::cluster_end(Cluster cluster) const {
    return std::min(size_, (cluster + 1) * cluster_size_);
}

void Work::read_cluster(Cluster cluster, std::span<std::byte> buffer) {
    std::ranges::fill(buffer, std::byte{0});
    const auto found = changed_.find(cluster);
    if (found != changed_.end()) {
        if (found->second != cleared) {
            top_.file().read_some(found->second, buffer);
        }
        return;
    }
    const std::uint64_t start = cluster * cluster_size_;
    if (start < present_.size()) {
        present_.read(start, buffer.first(std::min<std::uint64_t>(buffer.size(), present_.size() - start)));
    }
}

void Work::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    const std::scoped_lock lock(mutex_);
    while (!buffer.empty()) {
        const Cluster cluster = offset / cluster_size_;
        const auto found = changed_.lower_bound(cluster);
        std::uint64_t end = cluster_end(cluster);
        if (found == changed_.end() || found->first != cluster) { // as it was, up to the next change
            end = found == changed_.end() ? size_ : found->first * cluster_size_;
        }
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), end - offset));
        if (found != changed_.end() && found->first == cluster) {
            std::ranges::fill(part, std::byte{0});
            if (found->second != cleared) {
                top_.file().read_some(found->second + offset % cluster_size_, part);
            }
        } else {
            const std::uint64_t there = offset < present_.size() ? present_.size() - offset : 0;
            const auto old = part.first(std::min<std::uint64_t>(part.size(), there));
            if (!old.empty()) {
                present_.read(offset, old);
            }
            std::ranges::fill(part.subspan(old.size()), std::byte{0});
        }
        offset += part.size();
        buffer = buffer.subspan(part.size());
    }
}

std::vector<Extent> Work::extents(Range range) {
    const std::scoped_lock lock(mutex_);
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const auto found = changed_.lower_bound(offset / cluster_size_);
        if (found != changed_.end() && found->first == offset / cluster_size_) {
            const std::uint64_t end = std::min(range.end(), cluster_end(found->first));
            append_extent(result, {offset, end - offset},
                          found->second == cleared ? ExtentKind::zero : ExtentKind::data);
            offset = end;
            continue;
        }
        const std::uint64_t next = found == changed_.end() ? size_ : found->first * cluster_size_;
        const std::uint64_t end = std::min(range.end(), next);
        const std::uint64_t old_end = std::max(offset, std::min(end, present_.size()));
        if (offset < old_end) {
            for (const Extent& extent : present_.extents({offset, old_end - offset})) {
                append_extent(result, extent.range, extent.kind);
            }
        }
        append_extent(result, {old_end, end - old_end}, ExtentKind::unallocated);
        offset = end;
    }
    return result;
}

bool Work::reads_zero(Cluster cluster) {
    if (const auto found = changed_.find(cluster); found != changed_.end()) {
        return found->second == cleared;
    }
    const std::uint64_t start = cluster * cluster_size_;
    const std::uint64_t end = std::min(present_.size(), cluster_end(cluster));
    if (start >= end) {
        return true;
    }
    return std::ranges::all_of(present_.extents({start, end - start}),
                               [](const Extent& extent) { return extent.kind != ExtentKind::data; });
}

void Work::clear(Cluster cluster) {
    const auto found = changed_.find(cluster);
    if (found != changed_.end() && found->second != cleared) {
        unused_.insert(found->second / cluster_size_);
    } else if (found == changed_.end() && reads_zero(cluster)) {
        return;
    }
    changed_[cluster] = cleared;
}

void Work::place(Cluster cluster, std::span<const std::byte> data) {
    const auto found = changed_.find(cluster);
    const bool placed = found != changed_.end() && found->second != cleared;
    const std::uint64_t where = placed ? found->second : new_place();
    try {
        top_.file().write(where, data);
    } catch (...) {
        if (!placed) {
            unused_.insert(where / cluster_size_);
        }
        throw;
    }
    changed_[cluster] = where;
}

void Work::write_part(std::uint64_t offset, std::span<const std::byte> data) {
    const Cluster cluster = offset / cluster_size_;
    const auto found = changed_.find(cluster);
    if (found != changed_.end() && found->second != cleared) {
        top_.file().write(found->second + offset % cluster_size_, data);
        return;
    }
    if (all_zero(data) && reads_zero(cluster)) {
        return;
    }
    std::vector<std::byte> buffer(cluster_size_);
    read_cluster(cluster, buffer);
    std::ranges::copy(data, buffer.begin() + static_cast<std::ptrdiff_t>(offset % cluster_size_));
    place(cluster, buffer);
}

void Work::write(std::uint64_t offset, std::span<const std::byte> data) {
    check_range(offset, data.size());
    const std::scoped_lock lock(mutex_);
    if (over_) {
        throw std::logic_error("a working disk is used after its end");
    }
    while (!data.empty()) {
        const std::uint64_t within = offset % cluster_size_;
        const auto part = data.first(std::min<std::uint64_t>(data.size(), cluster_size_ - within));
        if (part.size() < cluster_size_) {
            write_part(offset, part);
        } else if (all_zero(part)) {
            clear(offset / cluster_size_);
        } else {
            place(offset / cluster_size_, part);
        }
        offset += part.size();
        data = data.subspan(part.size());
    }
}

void Work::discard(Range range) {
    check_range(range.offset, range.length);
    const std::scoped_lock lock(mutex_);
    // The end of the disk ends its last cluster.
    const Cluster end = range.end() == size_ ? divide_up(size_, cluster_size_) : range.end() / cluster_size_;
    for (Cluster cluster = divide_up(range.offset, cluster_size_); cluster < end; ++cluster) {
        clear(cluster);
    }
}

void Work::zero(Range range) {
    check_range(range.offset, range.length);
    const std::scoped_lock lock(mutex_);
    while (!range.empty()) {
        const Cluster cluster = range.offset / cluster_size_;
        const std::uint64_t length = std::min(range.length, cluster_end(cluster) - range.offset);
        if (range.offset % cluster_size_ == 0 && range.offset + length == cluster_end(cluster)) {
            clear(cluster);
        } else if (!reads_zero(cluster)) {
            const std::vector<std::byte> zeros(length);
            write_part(range.offset, zeros);
        }
        range = {range.offset + length, range.length - length};
    }
}

std::uint64_t Work::space_taken() const {
    const std::scoped_lock lock(mutex_);
    return taken_ * cluster_size_;
}

} // namespace disktool::ploop
