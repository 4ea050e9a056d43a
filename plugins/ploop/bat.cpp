// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bat.h"

#include "header.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t entry_size = sizeof(std::uint32_t);
constexpr std::uint64_t largest_piece = 1 << 20; ///< bytes at once

std::uint64_t position(std::uint64_t index) {
    return header_size + index * entry_size;
}

std::uint64_t sectors_of(std::uint64_t entries) {
    return divide_up(position(entries), sector_size);
}

/// As many entries as the sectors hold, so that sectors can be written whole.
std::uint64_t capacity(std::uint64_t entries) {
    return (sectors_of(entries) * sector_size - header_size) / entry_size;
}

} // namespace

void Bat::set(std::uint64_t index, std::uint32_t entry) {
    std::atomic_ref(table_.get()[index]).store(entry, std::memory_order_release);
    touch(index);
}

void Bat::touch(std::uint64_t index) {
    touch_sector(position(index) / sector_size);
}

void Bat::touch_sector(std::uint64_t sector) {
    dirty_[sector / 64] |= std::uint64_t{1} << sector % 64;
    if (!dirty()) {
        dirty_from_ = sector;
        dirty_to_ = sector + 1;
    } else {
        dirty_from_ = std::min(dirty_from_, sector);
        dirty_to_ = std::max(dirty_to_, sector + 1);
    }
}

void Bat::resize(std::uint64_t entries) {
    if (table_ && entries <= entries_) {
        std::fill(table_.get() + entries, table_.get() + entries_, 0);
        entries_ = entries;
        return;
    }
    std::unique_ptr<std::uint32_t, Release> table(
        static_cast<std::uint32_t*>(std::calloc(capacity(entries), entry_size)));
    if (!table) {
        throw Error(ErrorCode::failure, fmt::format("There is no memory for a BAT of {} entries; close other "
                                                    "programs, or take a machine with more",
                                                    entries));
    }
    if (table_) {
        std::memcpy(table.get(), table_.get(), entries_ * entry_size);
    }
    dirty_.resize(divide_up(sectors_of(entries), 64));
    table_ = std::move(table);
    entries_ = entries;
}

void Bat::load(File& file, const std::function<void(std::uint64_t, std::span<const std::uint32_t>)>& seen) {
    const std::uint64_t end = position(entries_);
    for (std::uint64_t at = header_size; at < end;) {
        const auto data = file.next_data(at);
        if (!data || *data >= end) {
            return;
        }
        // A hole may begin or end within an entry where a hostile host says so.
        at = std::max<std::uint64_t>(at, round_down(*data, entry_size));
        const std::uint64_t hole = std::min(end, round_up(file.next_hole(at).value_or(end), entry_size));
        const std::uint64_t length = std::min(largest_piece, std::max(hole, at + entry_size) - at);
        const std::uint64_t index = (at - header_size) / entry_size;
        const std::span entries(table_.get() + index, length / entry_size);
        file.read(at, std::as_writable_bytes(entries));
        seen(index, entries);
        at += length;
    }
}

/// Behind the dirty sectors that follow one another from `sector` on and are written at once.
std::uint64_t Bat::dirty_end(std::uint64_t sector) const {
    std::uint64_t end = sector + 1;
    while (end < dirty_to_ && is_dirty(end) && (end - sector) * sector_size < largest_piece) {
        ++end;
    }
    return end;
}

void Bat::take(BatChanges& changes) {
    std::uint64_t bytes = 0;
    for (std::uint64_t sector = dirty_from_; sector < dirty_to_; ++sector) {
        bytes += is_dirty(sector) ? sector_size : 0;
    }
    const std::span<std::byte> memory = changes.memory_.get(bytes);
    std::size_t at = 0;
    for (std::uint64_t sector = dirty_from_; sector < dirty_to_;) {
        if (!is_dirty(sector)) {
            ++sector;
            continue;
        }
        const std::uint64_t end = dirty_end(sector);
        const std::uint64_t from = std::max<std::uint64_t>(sector * sector_size, header_size);
        const auto part = memory.subspan(at, end * sector_size - from);
        std::memcpy(part.data(), table_.get() + (from - header_size) / entry_size, part.size());
        changes.pieces_.push_back({sector, end - sector, part});
        at += (end - sector) * sector_size;
        sector = end;
    }
    std::fill(dirty_.begin() + static_cast<std::ptrdiff_t>(dirty_from_ / 64),
              dirty_.begin() + static_cast<std::ptrdiff_t>(divide_up(dirty_to_, 64)), 0);
    dirty_from_ = dirty_to_ = 0;
}

void Bat::take_back(const BatChanges& changes) {
    for (const BatChanges::Piece& piece : changes.pieces_) {
        for (std::uint64_t i = 0; i < piece.sectors; ++i) {
            touch_sector(piece.sector + i);
        }
    }
}

void BatChanges::write(File& file) const {
    for (const Piece& piece : pieces_) {
        file.write(std::max<std::uint64_t>(piece.sector * sector_size, header_size), piece.bytes);
    }
}

} // namespace disktool::ploop
