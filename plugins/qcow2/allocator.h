// SPDX-License-Identifier: LGPL-2.1-or-later
// New clusters at the end of an image file, with the refcount blocks and the table that they need.
#pragma once

#include "refcounts.h"

#include <disktool/file.h>

#include <cstdint>
#include <map>

namespace disktool::qcow2 {

/// Hands out clusters behind the end of the file, in memory first; then writes their refcounts so that the
/// image is valid at every moment, though the new clusters are leaks until something refers to them:
///
///   allocate ... cover | write_counts, sync | link_blocks, sync | a header that names new_table()
///
/// Only appends: what an image with wrong refcounts takes for free is never overwritten. Refers to file and
/// refcounts. Errors: damaged for a refcount beyond any possible file. Threads: one at a time.
class Allocator {
  public:
    Allocator(File& file, Refcounts& refcounts, std::uint64_t file_size);

    /// Offset in the file of `count` clusters in a row.
    std::uint64_t allocate(std::uint64_t count);
    /// Allocates what refcounts of everything allocated so far need themselves. Throws size_impossible where
    /// the table would get larger than QEMU's limit.
    void cover();

    /// All that was allocated, bytes of the file.
    Range allocated() const {
        return {first_ * refcounts_.cluster_size(), (next_ - first_) * refcounts_.cluster_size()};
    }
    /// A new refcount table, which the header must name; empty: the old one goes on.
    Range new_table() const { return new_table_; }

    /// Counts in blocks that exist, and whole new blocks and tables, to which nothing refers yet.
    void write_counts();
    /// Enters new blocks in the table, unless that is new. True when something was written.
    bool link_blocks();
    /// Takes the counts in existing blocks back, before link_blocks. The file can be cut then.
    void take_back();

  private:
    bool block_exists(std::uint64_t block) const;
    std::uint64_t first_block() const { return first_ / refcounts_.per_block(); }
    std::uint64_t last_block() const { return (next_ - 1) / refcounts_.per_block(); }
    void count_in(RefcountBlock& block, std::uint64_t value) const;
    /// Existing blocks: every allocated cluster gets this count.
    void set_counts(std::uint64_t value);

    File& file_;
    Refcounts& refcounts_;
    std::uint64_t first_;                           ///< cluster that is new
    std::uint64_t next_;                            ///< behind the last new one
    std::map<std::uint64_t, std::uint64_t> blocks_; ///< new ones: index to offset
    Range new_table_;                               ///< bytes
};

} // namespace disktool::qcow2
