// SPDX-License-Identifier: LGPL-2.1-or-later
// Moving clusters within the file. Each goes through the same states: copied, flushed, referenced, flushed,
// freed; many together, so that a batch costs two syncs.
#include "delta.h"

#include <disktool/size.h>

#include <algorithm>

namespace disktool::ploop {

std::vector<Delta::Move> Delta::moves_from(std::uint64_t from, std::uint64_t to) const {
    std::vector<Move> moves;
    if (from >= to || from >= places_.end()) {
        return moves;
    }
    for (std::uint64_t cluster = 0; cluster < clusters(); ++cluster) {
        const std::uint32_t entry = bat_.get(cluster);
        const std::uint64_t place = place_number(entry);
        if (entry != 0 && place >= from && place < to) {
            moves.push_back({place, cluster});
        }
    }
    std::ranges::sort(moves, {}, &Move::from);
    return moves;
}

void Delta::copy_places(std::uint64_t from, std::uint64_t to, std::uint64_t count) {
    const std::uint64_t length = count * cluster_size();
    from *= cluster_size();
    to *= cluster_size();
    unsynced_ = true;
    if (host_copies_) {
        host_copies_ = file_->copy_range(to, *file_, {from, length});
        if (host_copies_) {
            return;
        }
    }
    const std::span<std::byte> buffer = copied_.get(std::min<std::uint64_t>(length, 4 * MiB));
    for (std::uint64_t done = 0; done < length; done += buffer.size()) {
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), length - done));
        file_->read(from + done, part);
        file_->write(to + done, part);
        unsynced_ = true;
    }
}

void Delta::move(std::span<const Move> moves) {
    const auto places = take_places(moves.size());
    try {
        for (std::size_t i = 0; i < moves.size();) {
            std::size_t count = 1;
            while (i + count < moves.size() && moves[i + count].from == moves[i].from + count &&
                   places[i + count] == places[i] + count) {
                ++count;
            }
            copy_places(moves[i].from, places[i], count);
            i += count;
        }
    } catch (...) {
        give_back(places);
        throw;
    }
    for (std::size_t i = 0; i < moves.size(); ++i) {
        refer(moves[i].cluster, places[i]);
        freed_.push_back(moves[i].from);
    }
    flush(); // the copies, then the entries, and only then the old places
}

std::vector<Delta::Move> Delta::tail(std::uint64_t most) {
    must_be_begun();
    if (raw_) {
        return {};
    }
    // Where the file ends when no hole is left: what lies behind goes into the holes before, as many.
    const std::uint64_t end = places_.first() + places_.count();
    auto moves = moves_from(end, places_.end());
    if (moves.size() > most) {
        moves.erase(moves.begin(), moves.end() - static_cast<std::ptrdiff_t>(most));
    }
    return moves;
}

std::uint64_t Delta::move_down(std::span<const Move> moves) {
    change_layout();
    std::uint64_t moved = 0;
    for (const Move& move : moves) {
        const std::uint32_t entry = bat_.get(move.cluster);
        if (entry == 0 || place_number(entry) != move.from) {
            continue; // freed, or moved, since
        }
        const auto hole = places_.lowest_hole();
        if (!hole || *hole > move.from) {
            break;
        }
        const auto place = take_places(1);
        try {
            copy_places(move.from, place.front(), 1);
        } catch (...) {
            give_back(place);
            throw;
        }
        refer(move.cluster, place.front());
        freed_.push_back(move.from);
        ++moved;
    }
    return moved;
}

std::uint64_t Delta::cut_tail() {
    if (raw_) {
        return 0;
    }
    change_layout();
    return cut();
}

bool Delta::has_tail() const {
    return file_->status().size > file_clusters() * cluster_size();
}

std::uint64_t Delta::compact(std::uint64_t limit) {
    if (raw_) {
        return 0;
    }
    change_layout();
    flush();
    const auto moves = tail(limit);
    // So much is copied for the two syncs that they hardly count, and a kill loses little.
    const std::size_t together = std::max<std::uint64_t>(64 * MiB / cluster_size(), 16);
    for (std::size_t i = 0; i < moves.size(); i += together) {
        move(std::span(moves).subspan(i, std::min(together, moves.size() - i)));
    }
    const std::uint64_t bytes = cut();
    flush();
    return bytes;
}

} // namespace disktool::ploop
