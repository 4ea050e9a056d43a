// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_disk.h"

#include <disktool/bytes.h>
#include <disktool/extent_list.h>
#include <disktool/size.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace disktool::qcow2 {

namespace {

/// The finest granularity of the bitmaps that record; 0: none does.
std::uint64_t recording_unit(const std::vector<Bitmap>& bitmaps) {
    std::uint64_t unit = 0;
    for (const Bitmap& bitmap : bitmaps) {
        if (bitmap.info.recording && !bitmap.info.in_use) {
            unit = unit == 0 ? bitmap.info.granularity : std::min(unit, bitmap.info.granularity);
        }
    }
    return unit;
}

} // namespace

NewDisk::NewDisk(Image& image, std::uint64_t size, std::uint64_t tail_start)
    : image_(image), metadata_(image.metadata()), file_(image.file()),
      cluster_size_(metadata_.header().cluster_size()), old_size_(metadata_.header().virtual_size), size_(size),
      overlay_(metadata_.header().l2_entries()), tail_(file_.path(), tail_start, cluster_size_),
      changed_(recording_unit(image.bitmaps())), buffer_(cluster_size_) {}

std::uint64_t NewDisk::backing_size() const {
    return image_.backing() != nullptr ? image_.backing()->info().virtual_size : 0;
}

std::uint64_t NewDisk::clusters() const {
    return divide_up(size_, cluster_size_);
}

void NewDisk::read_old(std::uint64_t offset, std::span<std::byte> buffer) {
    const std::uint64_t there = offset < old_size_ ? old_size_ - offset : 0;
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), there));
    if (length != 0) {
        image_.device().read(offset, buffer.first(length));
    }
    std::ranges::fill(buffer.subspan(length), std::byte{0});
}

void NewDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
        const std::uint64_t cluster = offset / cluster_size_;
        const std::uint64_t within = offset % cluster_size_;
        const std::uint64_t count =
            overlay_.run(cluster, divide_up(within + buffer.size(), cluster_size_), cluster_size_);
        const auto part = buffer.first(
            static_cast<std::size_t>(std::min<std::uint64_t>(count * cluster_size_ - within, buffer.size())));
        const std::uint64_t word = overlay_.get(cluster);
        if (word == Overlay::unchanged) {
            read_old(offset, part);
        } else {
            // A file that ends before has holes there.
            const std::size_t got = word == Overlay::cleared ? 0 : file_.read_some(word + within, part);
            std::ranges::fill(part.subspan(got), std::byte{0});
        }
        offset += part.size();
        buffer = buffer.subspan(part.size());
    }
}

std::vector<Extent> NewDisk::extents(Range range) {
    std::vector<Extent> result;
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const std::uint64_t cluster = offset / cluster_size_;
        const std::uint64_t limit = divide_up(range.end(), cluster_size_) - cluster;
        const std::uint64_t end =
            std::min(range.end(), (cluster + overlay_.run(cluster, limit, cluster_size_)) * cluster_size_);
        const std::uint64_t word = overlay_.get(cluster);
        if (word != Overlay::unchanged) {
            append_extent(result, {offset, end - offset},
                          word == Overlay::cleared ? ExtentKind::zero : ExtentKind::data);
        } else {
            const std::uint64_t old_end = std::max(offset, std::min(end, old_size_));
            if (offset < old_end) {
                for (const Extent& extent : image_.device().extents({offset, old_end - offset})) {
                    append_extent(result, extent.range, extent.kind);
                }
            }
            append_extent(result, {old_end, end - old_end}, ExtentKind::unallocated);
        }
        offset = end;
    }
    return result;
}

bool NewDisk::is_nothing(std::uint64_t cluster) {
    const std::uint64_t start = cluster * cluster_size_;
    if (start >= old_size_) {
        return true;
    }
    const ClusterEntry entry = metadata_.entry(cluster);
    return entry.kind == ClusterKind::zero_plain ||
           (entry.kind == ClusterKind::unallocated && backing_size() <= start);
}

std::uint64_t NewDisk::surely_nothing(std::uint64_t cluster, std::uint64_t limit) {
    const std::uint64_t entries = metadata_.header().l2_entries();
    const std::uint64_t start = cluster * cluster_size_;
    if (overlay_.table(cluster / entries) != nullptr ||
        (start < old_size_ && (backing_size() > start || metadata_.l2_offset(cluster / entries)))) {
        return 0;
    }
    return std::min(limit, entries - cluster % entries);
}

bool NewDisk::reads_zero(std::uint64_t cluster) {
    const std::uint64_t word = overlay_.get(cluster);
    if (word != Overlay::unchanged) {
        return word == Overlay::cleared;
    }
    return is_nothing(cluster) || metadata_.entry(cluster).kind == ClusterKind::zero_allocated;
}

void NewDisk::clear(std::uint64_t cluster) {
    const std::uint64_t word = overlay_.get(cluster);
    overlay_.set(cluster, is_nothing(cluster) ? Overlay::unchanged : Overlay::cleared);
    if (Overlay::is_place(word)) {
        tail_.give_back(word, 1);
    }
}

void NewDisk::place_and_write(std::uint64_t cluster, const Tail::Run& run, std::uint64_t within,
                              std::span<const std::byte> data) {
    try {
        file_.write(run.offset + within, data);
    } catch (...) {
        tail_.give_back(run.offset, run.count);
        throw;
    }
    for (std::uint64_t i = 0; i < run.count; ++i) {
        overlay_.set(cluster + i, run.offset + i * cluster_size_);
    }
}

void NewDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    changed_.add({offset, data.size()});
    while (!data.empty()) {
        const std::uint64_t cluster = offset / cluster_size_;
        const std::uint64_t within = offset % cluster_size_;
        std::size_t length = static_cast<std::size_t>(round_down(data.size(), cluster_size_));
        if (within == 0 && length != 0) {
            write_whole(cluster, data.first(length));
        } else {
            length = static_cast<std::size_t>(std::min<std::uint64_t>(cluster_size_ - within, data.size()));
            write_part(cluster, within, data.first(length));
        }
        offset += length;
        data = data.subspan(length);
    }
}

void NewDisk::write_whole(std::uint64_t cluster, std::span<const std::byte> data) {
    const std::uint64_t count = data.size() / cluster_size_;
    const auto bytes = [&](std::uint64_t from, std::uint64_t clusters) {
        return data.subspan(from * cluster_size_, clusters * cluster_size_);
    };
    for (std::uint64_t i = 0; i < count;) {
        if (all_zero(bytes(i, 1))) {
            clear(cluster + i++);
            continue;
        }
        std::uint64_t end = i + 1;
        while (end < count && !all_zero(bytes(end, 1))) {
            ++end;
        }
        write_row(cluster + i, bytes(i, end - i));
        i = end;
    }
}

void NewDisk::write_row(std::uint64_t cluster, std::span<const std::byte> data) {
    while (!data.empty()) {
        const std::uint64_t word = overlay_.get(cluster);
        std::uint64_t count = overlay_.run(cluster, data.size() / cluster_size_, cluster_size_);
        if (Overlay::is_place(word)) {
            file_.write(word, data.first(count * cluster_size_));
        } else {
            const Tail::Run run = tail_.take(count);
            count = run.count;
            place_and_write(cluster, run, 0, data.first(count * cluster_size_));
        }
        cluster += count;
        data = data.subspan(count * cluster_size_);
    }
}

void NewDisk::write_part(std::uint64_t cluster, std::uint64_t within, std::span<const std::byte> data) {
    if (const std::uint64_t word = overlay_.get(cluster); Overlay::is_place(word)) {
        file_.write(word + within, data);
        return;
    }
    const bool zeros = reads_zero(cluster);
    if (zeros && all_zero(data)) {
        return;
    }
    const Tail::Run run = tail_.take(1);
    if (zeros && run.fresh) {
        place_and_write(cluster, run, within, data);
        return;
    }
    try {
        read(cluster * cluster_size_, buffer_);
    } catch (...) {
        tail_.give_back(run.offset, 1);
        throw;
    }
    std::ranges::copy(data, buffer_.begin() + static_cast<std::ptrdiff_t>(within));
    place_and_write(cluster, run, 0, buffer_);
}

void NewDisk::copy(std::uint64_t cluster, std::uint64_t end) {
    const std::uint64_t start = cluster * cluster_size_;
    read(start, buffer_);
    if (end - start < cluster_size_) {
        std::fill(buffer_.begin() + static_cast<std::ptrdiff_t>(end - start), buffer_.end(), std::byte{0});
    }
    const std::uint64_t word = overlay_.get(cluster);
    if (Overlay::is_place(word)) {
        file_.write(word, buffer_);
    } else {
        place_and_write(cluster, tail_.take(1), 0, buffer_);
    }
}

void NewDisk::cut(std::uint64_t cluster) {
    overlay_.cut(cluster, [&](std::uint64_t word) {
        if (Overlay::is_place(word)) {
            tail_.give_back(word, 1);
        }
    });
}

void NewDisk::place_zeros(std::uint64_t cluster, std::uint64_t count) {
    while (count != 0) {
        const Tail::Run run = tail_.take(count);
        if (!run.fresh) {
            file_.punch_hole({run.offset, run.count * cluster_size_});
        }
        for (std::uint64_t i = 0; i < run.count; ++i) {
            overlay_.set(cluster + i, run.offset + i * cluster_size_);
        }
        cluster += run.count;
        count -= run.count;
    }
}

void NewDisk::discard(Range range) {
    changed_.add(range);
    // The end of the disk ends its last cluster.
    const std::uint64_t end = range.end() == size_ ? clusters() : range.end() / cluster_size_;
    for (std::uint64_t cluster = divide_up(range.offset, cluster_size_); cluster < end;) {
        if (const std::uint64_t count = surely_nothing(cluster, end - cluster); count != 0) {
            cluster += count;
        } else {
            clear(cluster++);
        }
    }
}

void NewDisk::zero_part(std::uint64_t offset, std::uint64_t length) {
    if (length != 0 && !reads_zero(offset / cluster_size_)) {
        const std::vector<std::byte> zeros(length);
        write_part(offset / cluster_size_, offset % cluster_size_, zeros);
    }
}

void NewDisk::zero(Range range) {
    if (range.empty()) {
        return;
    }
    const std::uint64_t first = std::min(range.end(), round_up(range.offset, cluster_size_));
    const std::uint64_t last =
        range.end() == size_ ? range.end() : std::max(first, round_down(range.end(), cluster_size_));
    changed_.add(range);
    zero_part(range.offset, first - range.offset);
    if (first < last) {
        discard({first, last - first});
    }
    zero_part(last, range.end() - last);
}

bool NewDisk::take_from(std::uint64_t offset, File& source, Range from) {
    if (from.empty() || offset % cluster_size_ != 0 || from.length % cluster_size_ != 0) {
        return false;
    }
    // In whole clusters, holes of the source stay holes.
    std::uint64_t at = 0;
    while (at < from.length) {
        const std::uint64_t cluster = (offset + at) / cluster_size_;
        const std::uint64_t data =
            std::min(source.next_data(from.offset + at).value_or(from.end()), from.end());
        if (const std::uint64_t holes = (data - from.offset - at) / cluster_size_; holes != 0) {
            discard({offset + at, holes * cluster_size_});
            at += holes * cluster_size_;
            continue;
        }
        const std::uint64_t hole = std::min(source.next_hole(data).value_or(from.end()), from.end());
        const std::uint64_t length = round_up(hole - from.offset, cluster_size_) - at;
        const std::uint64_t count = length / cluster_size_;
        const std::uint64_t place = tail_.append(count);
        bool done = false;
        try {
            done = file_.copy_range(place, source, {from.offset + at, length});
        } catch (...) {
            tail_.give_back(place, count);
            throw;
        }
        if (!done) {
            tail_.give_back(place, count);
            return false;
        }
        changed_.add({offset + at, length});
        for (std::uint64_t i = 0; i < count; ++i) {
            if (const std::uint64_t word = overlay_.get(cluster + i); Overlay::is_place(word)) {
                tail_.give_back(word, 1);
            }
            overlay_.set(cluster + i, place + i * cluster_size_);
        }
        at += length;
    }
    return true;
}

} // namespace disktool::qcow2
