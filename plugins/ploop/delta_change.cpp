// SPDX-License-Identifier: LGPL-2.1-or-later
// Changing what an image file holds: the in-use mark, writing, allocating, freeing, and the order in which it
// all gets to the disk.
#include "delta.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace disktool::ploop {

std::size_t neighbours(std::span<const std::uint64_t> places, std::size_t index) {
    std::size_t count = 1;
    while (index + count < places.size() && places[index + count] == places[index] + count) {
        ++count;
    }
    return count;
}

void Delta::must_be_begun() const {
    if (!begun_) {
        throw std::logic_error(path() + ": a change before begin()");
    }
    if (lost_) {
        throw Error(
            ErrorCode::failure,
            fmt::format("{}: what was written before could not be brought to stable storage and may "
                        "be lost; nothing more is written. See to the host's disk, then run `ploop check`",
                        path()));
    }
}

void Delta::sync() {
    // Before, not behind: who writes meanwhile sets it again when it is done.
    unsynced_ = false;
    try {
        file_->sync_data();
    } catch (const Error&) {
        lost_ = true;
        throw;
    }
}

void Delta::write_header(const Header& next) {
    file_->write(0, header_bytes(next));
    set_header(next);
    sync();
}

/// Who reads beside us looks at sizes only, which are not touched where they stay.
void Delta::set_header(const Header& next) {
    header_.in_use = next.in_use;
    header_.flags = next.flags;
    header_.extension_sector = next.extension_sector;
    if (!(header_ == next)) {
        header_ = next;
    }
}

void Delta::begin() {
    if (begun_) {
        return;
    }
    if (access_ != Access::write) {
        throw std::logic_error(path() + ": begin() of an image that is open for reading");
    }
    changed_ = false;
    if (!raw_ && !header_.is_in_use()) {
        Header next = header_;
        next.in_use = in_use_mark;
        write_header(next);
    } else if (!raw_) {
        // Who was killed may have written entries that are not synced: what they no longer refer to, the disk
        // still may.
        sync();
    }
    begun_ = true;
}

void Delta::change_layout() {
    must_be_begun();
    changed_ = true;
    if (extension_at_ != 0) {
        Header next = header_;
        next.extension_sector = 0;
        write_header(next);
        extension_at_ = 0;
    }
}

std::uint64_t Delta::take_place() {
    std::uint64_t place = std::max(places_.end(), places_.first());
    if (const auto hole = places_.lowest_hole()) {
        place = *hole;
    }
    if (place >= place_limit(header_)) {
        throw Error(ErrorCode::no_space,
                    fmt::format("{}: an image of version {} has no place for more than {} of its clusters; "
                                "compact it{}",
                                path(), static_cast<std::uint32_t>(header_.version), place,
                                header_.version == Version::v1 ? ", or convert it to version 2" : ""));
    }
    places_.add(place);
    return place;
}

std::vector<std::uint64_t> Delta::take_places(std::uint64_t count) {
    std::vector<std::uint64_t> places;
    places.reserve(count);
    try {
        while (places.size() < count) {
            places.push_back(take_place());
        }
    } catch (...) {
        give_back(places);
        throw;
    }
    return places;
}

void Delta::give_back(const std::vector<std::uint64_t>& places) {
    for (const std::uint64_t place : places) {
        places_.remove(place);
    }
}

void Delta::write_places(const std::vector<std::uint64_t>& places, std::span<const std::byte> data) {
    for (std::size_t i = 0; i < places.size();) {
        const std::size_t count = neighbours(places, i);
        file_->write(places[i] * cluster_size(), data.subspan(i * cluster_size(), count * cluster_size()));
        i += count;
    }
    unsynced_ = true;
}

void Delta::refer(std::uint64_t cluster, std::uint64_t place) {
    bat_.set(cluster, offset_entry(header_, place * cluster_size()));
}

void Delta::overwrite(std::uint64_t offset, std::span<const std::byte> data) {
    must_be_begun();
    while (!data.empty()) {
        const std::uint64_t inside = offset % cluster_size();
        const auto [at, count] = look(offset / cluster_size(), divide_up(inside + data.size(), cluster_size()));
        if (!at) {
            throw std::logic_error(
                fmt::format("{}: guest offset {} is overwritten, but is not here", path(), offset));
        }
        const auto part = data.first(std::min<std::uint64_t>(data.size(), count * cluster_size() - inside));
        write_at(*at + inside, part);
        offset += part.size();
        data = data.subspan(part.size());
    }
}

void Delta::write_at(std::uint64_t file_offset, std::span<const std::byte> data) {
    may_be_written();
    file_->write(file_offset, data);
    unsynced_ = true;
}

void Delta::may_be_written() {
    must_be_begun();
    if (!changed_.load(std::memory_order_relaxed)) {
        changed_ = true;
    }
}

File::Direct Delta::write_beside() {
    may_be_written();
    return file_->direct();
}

void Delta::written_at(std::uint64_t file_offset, std::uint64_t length) noexcept {
    file_->written_beside({file_offset, length});
    unsynced_ = true;
}

void Delta::overwrite_zeros(std::uint64_t offset, std::uint64_t length) {
    must_be_begun();
    if (raw_) {
        file_->zero({offset, length});
        changed_ = true;
        unsynced_ = true;
        return;
    }
    const std::vector<std::byte> zeros(std::min<std::uint64_t>(length, MiB));
    while (length > 0) {
        const std::uint64_t part = std::min<std::uint64_t>(length, zeros.size());
        overwrite(offset, std::span(zeros).first(part));
        offset += part;
        length -= part;
    }
}

Delta::Placement Delta::place_new(std::uint64_t cluster, std::uint64_t count) {
    must_be_begun();
    const auto [at, absent] = look(cluster, count);
    if (cluster + count > clusters() || at || absent < count) {
        throw std::logic_error(fmt::format("{}: guest cluster {} cannot be allocated", path(), cluster));
    }
    change_layout();
    Placement placement{cluster, take_places(count)};
    make_room(placement.places);
    return placement;
}

void Delta::fill(const Placement& placement, std::span<const std::byte> data) {
    if (data.size() != placement.places.size() * cluster_size()) {
        throw std::logic_error(fmt::format("{}: {} bytes are no whole clusters", path(), data.size()));
    }
    write_places(placement.places, data);
}

void Delta::refer(const Placement& placement) {
    for (std::size_t i = 0; i < placement.places.size(); ++i) {
        refer(placement.cluster + i, placement.places[i]);
    }
    allocated_ += placement.places.size();
}

void Delta::allocate(std::uint64_t cluster, std::span<const std::byte> data) {
    const Placement placement = place_new(cluster, data.size() / cluster_size());
    try {
        fill(placement, data);
    } catch (...) {
        give_up(placement);
        throw;
    }
    refer(placement);
}

void Delta::grow_file_by(std::uint64_t bytes) {
    if (raw_ || file_step_ == bytes) {
        return;
    }
    file_end_ = file_->status().size;
    file_step_ = bytes;
}

void Delta::make_room(const std::vector<std::uint64_t>& places) {
    if (file_step_ == 0 || places.empty()) {
        return;
    }
    const std::uint64_t end = (*std::ranges::max_element(places) + 1) * cluster_size();
    if (end <= file_end_) {
        return;
    }
    const std::uint64_t size = std::max(end, file_end_ + file_step_);
    try {
        file_->allocate({file_end_, size - file_end_}, false);
        file_end_ = size;
    } catch (const Error&) {
        file_step_ = 0; // a full disk, or one that cannot: the write itself makes the file longer, or tells
    }
}

bool Delta::share_into(const std::vector<std::uint64_t>& places, File& source, std::uint64_t from) {
    for (std::size_t i = 0; i < places.size();) {
        const std::size_t count = neighbours(places, i);
        if (!file_->share_range(places[i] * cluster_size(), source,
                                {from + i * cluster_size(), count * cluster_size()})) {
            return false;
        }
        unsynced_ = true;
        i += count;
    }
    return true;
}

bool Delta::allocate_from(std::uint64_t cluster, File& source, std::uint64_t from, std::uint64_t count) {
    const Placement placement = place_new(cluster, count);
    bool shared = false;
    try {
        shared = share_into(placement.places, source, from);
    } catch (...) {
        give_up(placement);
        throw;
    }
    shared ? refer(placement) : give_up(placement);
    return shared;
}

bool Delta::overwrite_from(std::uint64_t cluster, File& source, std::uint64_t from, std::uint64_t count) {
    must_be_begun();
    changed_ = true;
    while (count > 0) {
        const auto [at, length] = look(cluster, count);
        if (!at || cluster >= clusters()) {
            throw std::logic_error(
                fmt::format("{}: guest cluster {} is overwritten, but is not here", path(), cluster));
        }
        unsynced_ = true; // a part may be there also where it fails
        if (!file_->share_range(*at, source, {from, length * cluster_size()})) {
            return false;
        }
        unsynced_ = true;
        cluster += length;
        from += length * cluster_size();
        count -= length;
    }
    return true;
}

void Delta::free(std::uint64_t cluster, std::uint64_t count) {
    must_be_begun();
    count = std::min(count, clusters() - std::min(cluster, clusters()));
    if (raw_ && count > 0) {
        changed_ = true;
        const std::uint64_t from = cluster * cluster_size();
        file_->punch_hole({from, std::min(count * cluster_size(), disk_size() - from)});
        unsynced_ = true;
        return;
    }
    for (; count > 0; ++cluster, --count) {
        if (const std::uint32_t entry = bat_.get(cluster)) {
            change_layout();
            freed_.push_back(place_number(entry));
            bat_.set(cluster, 0);
            --allocated_;
        }
    }
}

void Delta::flush() {
    if (!begun_) {
        return;
    }
    gather();
    try {
        store_gathered();
    } catch (...) {
        take_back();
        throw;
    }
    settle();
}

void Delta::gather() {
    must_be_begun();
    bat_.take(gathered_);
    settling_.swap(freed_);
}

void Delta::store_gathered() {
    if (unsynced_) {
        sync();
    }
    if (!gathered_.empty()) {
        gathered_.write(*file_);
        sync();
    }
}

void Delta::settle() {
    gathered_.clear();
    give_back(settling_);
    settling_.clear();
}

void Delta::take_back() {
    bat_.take_back(gathered_);
    gathered_.clear();
    freed_.insert(freed_.end(), settling_.begin(), settling_.end());
    settling_.clear();
}

std::uint64_t Delta::cut() {
    const std::uint64_t size = file_->status().size;
    const std::uint64_t end = file_clusters() * cluster_size();
    if (size <= end) {
        return 0;
    }
    file_->truncate(end);
    file_end_ = end;
    unsynced_ = true;
    return size - end;
}

void Delta::end() {
    if (!begun_) {
        return;
    }
    flush();
    if (!raw_) {
        Header next = header_;
        if (changed_) {
            extension_at_ = 0;
            next.extension_sector = 0;
            cut();
        }
        // Also of an image that a killed writer left in use: what its extension says is not true any more.
        if (extension_at_ == 0) {
            next.extension_sector = 0;
        }
        next.in_use = extension_at_ != 0 ? closed_mark_v21 : 0;
        next.flags = allocated_ == 0 ? next.flags | flag_empty : next.flags & ~flag_empty;
        write_header(next);
    }
    begun_ = false;
    file_step_ = 0;
}

} // namespace disktool::ploop
