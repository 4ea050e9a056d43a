// SPDX-License-Identifier: LGPL-2.1-or-later
// The BAT of an image file in memory: entries as they lie on disk, and which of its sectors differ from the
// disk.
#pragma once

#include "page_buffer.h"

#include <disktool/file.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace disktool::ploop {

/// Sectors of a BAT as they were at one moment, on their way to the disk.
class BatChanges {
  public:
    bool empty() const { return pieces_.empty(); }
    /// Whole sectors, neighbours together.
    void write(File& file) const;
    void clear() { pieces_.clear(); }

  private:
    friend class Bat;
    struct Piece {
        std::uint64_t sector, sectors; ///< of the file
        std::span<const std::byte> bytes;
    };
    std::vector<Piece> pieces_;
    PageBuffer memory_;
};

/// Entry 0 lies at byte 64 of the file, behind the header, which is never touched from here. Threads: get()
/// from many at once, also beside one that calls set(); everything else alone.
class Bat {
  public:
    Bat() = default;

    std::uint64_t size() const { return entries_; }
    /// What was written to the cluster before its entry was set is seen by who reads it after getting the
    /// entry.
    std::uint32_t get(std::uint64_t index) const {
        return std::atomic_ref(table_.get()[index]).load(std::memory_order_acquire);
    }
    void set(std::uint64_t index, std::uint32_t entry);
    /// Its sector is written as if it had changed.
    void touch(std::uint64_t index);

    /// Makes it `entries` long, new ones zero and regarded as being so on disk; or shorter. Throws
    /// Error(failure) where there is no memory.
    void resize(std::uint64_t entries);
    /// Fills it from the file, of which it lies wholly within. `seen` gets the index of the first entry and the
    /// entries, piece by piece; what lies in holes of the file is left out.
    void load(File& file, const std::function<void(std::uint64_t, std::span<const std::uint32_t>)>& seen);

    bool dirty() const { return dirty_from_ < dirty_to_; }
    /// What is dirty is so no more, but in `changes`, which were empty. What lies behind the last entry in its
    /// sector becomes zero.
    void take(BatChanges& changes);
    /// They were not written: all of that is dirty again.
    void take_back(const BatChanges& changes);

  private:
    struct Release {
        void operator()(std::uint32_t* table) const { std::free(table); }
    };
    bool is_dirty(std::uint64_t sector) const { return (dirty_[sector / 64] >> sector % 64 & 1) != 0; }
    void touch_sector(std::uint64_t sector);
    std::uint64_t dirty_end(std::uint64_t sector) const;

    // From calloc, which takes large tables fresh from the system: what is never touched takes no memory.
    std::unique_ptr<std::uint32_t, Release> table_;
    std::uint64_t entries_ = 0;
    std::vector<std::uint64_t> dirty_;            ///< a bit for each sector of the file that holds entries
    std::uint64_t dirty_from_ = 0, dirty_to_ = 0; ///< all dirty ones lie between
};

} // namespace disktool::ploop
