// SPDX-License-Identifier: LGPL-2.1-or-later
// The refcounts of an image's new state, made beside the present ones.
#pragma once

#include "refcounts.h"
#include "reference_count.h"
#include "tail.h"

#include <disktool/file.h>
#include <disktool/range.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace disktool::qcow2 {

/// Works out which refcount blocks the new state needs anew and where; blocks that fit stay. A block or table
/// that moves changes what has to be counted, so this goes on until nothing changes any more. Refers to what it
/// is made of. Errors: size_impossible where the table would get larger than QEMU's limit. Threads: one at a
/// time.
class NewRefcounts {
  public:
    /// present: of the old state. references: what of the file before the tail the new state refers to, without
    /// its refcount table and blocks. leaks: see Present. Nothing else may be taken from the tail afterwards.
    NewRefcounts(File& file, Refcounts& present, ReferenceCount& references, Tail& tail,
                 const std::map<std::uint64_t, std::uint64_t>& leaks);

    /// What the new state's refcount of that cluster is.
    std::uint64_t count(std::uint64_t cluster) const;
    /// The new table, bytes of the file; empty: the present refcounts are right as they are.
    Range table() const { return table_; }
    /// Blocks and table. Nothing refers to them yet; not synced.
    void write();

  private:
    struct Block {
        std::uint64_t kept = 0; ///< where it lies and goes on to lie; 0: not kept
        std::uint64_t made = 0; ///< where it will lie; 0: nowhere
    };
    void settle();
    void look_at(std::uint64_t index);
    void place_table();
    /// The cluster at `offset` is counted differently now.
    void touched(std::uint64_t offset);
    /// How many of the clusters of that block may have a count at all.
    std::uint64_t counted(std::uint64_t index) const;
    RefcountBlock make(std::uint64_t index) const;
    bool all_zero(std::uint64_t index) const;

    File& file_;
    Refcounts& present_;
    ReferenceCount& references_;
    Tail& tail_;
    const std::map<std::uint64_t, std::uint64_t>& leaks_;
    std::vector<Block> blocks_;
    std::set<std::uint64_t> open_; ///< indices to be looked at
    Range table_;
};

} // namespace disktool::qcow2
