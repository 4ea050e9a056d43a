// SPDX-License-Identifier: LGPL-2.1-or-later
// A larger or a smaller disk. The header is one sector: the moment when it is written is the one at which the
// size changes. What it needs is on the disk before, and what it no longer needs is let go behind.
#include "delta.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace disktool::ploop {

void Delta::check_size(std::uint64_t disk_sectors) const {
    const std::uint64_t largest = largest_disk(header_.version, header_.cluster_sectors);
    if (disk_sectors % header_.cluster_sectors != 0 || disk_sectors > largest) {
        throw Error(
            ErrorCode::size_impossible,
            fmt::format("{}: its disk cannot have {} sectors: a multiple of {}, at most {}, is possible",
                        path(), disk_sectors, header_.cluster_sectors, largest),
            disk_sectors > largest ? Reason::size_too_large : Reason::none);
    }
}

void Delta::write_zeros(std::uint64_t from, std::uint64_t to) {
    const std::vector<std::byte> zeros(std::min<std::uint64_t>(to - std::min(from, to), MiB));
    while (from < to) {
        const std::uint64_t part = std::min<std::uint64_t>(to - from, zeros.size());
        file_->write(from, std::span(zeros).first(part));
        from += part;
        unsynced_ = true;
    }
}

void Delta::set_size(std::uint64_t disk_sectors, std::uint64_t data_start) {
    Header next = header_;
    const Header fresh = new_header(disk_sectors, header_.cluster_sectors, header_.version);
    next.heads = fresh.heads;
    next.cylinders = fresh.cylinders;
    next.entries = fresh.entries;
    next.disk_sectors = disk_sectors;
    next.data_start_sectors = static_cast<std::uint32_t>(data_start * header_.cluster_sectors);
    if (raw_) {
        header_ = next;
        allocated_ = next.entries;
    } else {
        next.flags = allocated_ == 0 ? next.flags | flag_empty : next.flags & ~flag_empty;
        write_header(next);
    }
}

void Delta::clear_last_part() {
    const std::uint64_t inside = disk_size() % cluster_size();
    const auto at = inside == 0 ? std::nullopt : place(clusters() - 1);
    if (at) {
        write_zeros(*at + inside, *at + cluster_size());
    }
}

void Delta::move_out_of_table(std::uint64_t data_start) {
    places_.set_first(data_start); // nothing gets a place in there any more
    const auto moves = moves_from(header_.data_start(), data_start);
    constexpr std::size_t together = 1024;
    for (std::size_t i = 0; i < moves.size(); i += together) {
        move(std::span(moves).subspan(i, std::min(together, moves.size() - i)));
    }
}

std::uint64_t Delta::data_start_of(std::uint64_t disk_sectors) const {
    const std::uint64_t entries = entries_of(disk_sectors, header_.cluster_sectors);
    return std::max(header_.data_start(), table_clusters(entries, header_.cluster_sectors));
}

std::uint64_t Delta::make_way(std::uint64_t disk_sectors, std::uint64_t most) {
    if (raw_) {
        return 0;
    }
    way_cleared_ = 0;
    if (disk_sectors == 0) {
        places_.set_first(header_.data_start());
        return 0;
    }
    check_size(disk_sectors);
    change_layout();
    const std::uint64_t data_start = data_start_of(disk_sectors);
    places_.set_first(data_start);
    auto moves = moves_from(header_.data_start(), data_start);
    moves.resize(std::min<std::uint64_t>(moves.size(), most));
    for (const Move& move : moves) {
        const auto place = take_places(1);
        try {
            copy_places(move.from, place.front(), 1);
        } catch (...) {
            give_back(place);
            throw;
        }
        refer(move.cluster, place.front());
        freed_.push_back(move.from);
    }
    return moves.size();
}

void Delta::clear_way(std::uint64_t disk_sectors) {
    if (!raw_) {
        clear_table(data_start_of(disk_sectors));
        way_cleared_ = disk_sectors;
    }
}

/// What lies behind the entries; but for the sector in which they end.
void Delta::clear_table(std::uint64_t data_start) {
    const std::uint64_t end = header_size + header_.entries * sizeof(std::uint32_t);
    write_zeros(round_up(end, sector_size), data_start * cluster_size());
}

void Delta::grow(std::uint64_t disk_sectors) {
    check_size(disk_sectors);
    if (disk_sectors < header_.disk_sectors) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: its disk has {} sectors and cannot grow to {}", path(),
                                header_.disk_sectors, disk_sectors),
                    Reason::would_shrink);
    }
    change_layout();
    flush();
    if (raw_) {
        const std::uint64_t size = disk_sectors * sector_size;
        if (file_->status().size != disk_size()) { // else what is reserved behind the end would go
            file_->truncate(disk_size());          // a last part of a sector is no part of the disk
        }
        try {
            file_->allocate({disk_size(), size - disk_size()}, false);
        } catch (const SystemError& error) {
            if (error.error_number() != EOPNOTSUPP && error.error_number() != ENOSYS) {
                throw;
            }
            file_->truncate(size);
        }
        sync();
        set_size(disk_sectors, header_.data_start());
        return;
    }
    const std::uint64_t entries = entries_of(disk_sectors, header_.cluster_sectors);
    const std::uint64_t data_start = data_start_of(disk_sectors);
    if (header_.disk_sectors < disk_sectors) {
        clear_last_part();
    }
    try {
        move_out_of_table(data_start);
    } catch (...) {
        places_.set_first(header_.data_start());
        throw;
    }
    bat_.resize(entries);
    // What lay behind the last entry is unknown; where the new part begins, the sector holds old entries, too.
    if ((header_size + header_.entries * sizeof(std::uint32_t)) % sector_size != 0) {
        bat_.touch(header_.entries);
    }
    if (way_cleared_ != disk_sectors) {
        clear_table(data_start);
    }
    way_cleared_ = 0;
    flush();
    set_size(disk_sectors, data_start);
}

void Delta::shrink(std::uint64_t disk_sectors) {
    check_size(disk_sectors);
    if (disk_sectors > header_.disk_sectors) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: its disk has {} sectors and cannot shrink to {}", path(),
                                header_.disk_sectors, disk_sectors));
    }
    change_layout();
    flush();
    if (raw_) {
        file_->truncate(disk_sectors * sector_size);
        sync();
        set_size(disk_sectors, header_.data_start());
        return;
    }
    const std::uint64_t before = clusters();
    const std::uint64_t allocated = allocated_;
    const std::uint64_t entries = entries_of(disk_sectors, header_.cluster_sectors);
    for (std::uint64_t cluster = entries; cluster < before; ++cluster) {
        allocated_ -= bat_.get(cluster) != 0 ? 1 : 0;
    }
    try {
        set_size(disk_sectors, header_.data_start());
    } catch (...) {
        allocated_ = allocated;
        throw;
    }
    for (std::uint64_t cluster = entries; cluster < before; ++cluster) {
        if (const std::uint32_t entry = bat_.get(cluster)) {
            freed_.push_back(place_number(entry));
            bat_.set(cluster, 0);
        }
    }
    flush();
    bat_.resize(entries);
}

} // namespace disktool::ploop
