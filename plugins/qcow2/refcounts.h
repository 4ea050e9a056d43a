// SPDX-License-Identifier: LGPL-2.1-or-later
// The refcounts as they lie on disk: a table of offsets of blocks, a block of counts of 1 to 64 bits.
#pragma once

#include "header.h"

#include <disktool/extents.h>
#include <disktool/file.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace disktool::qcow2 {

/// The counts of one block, in the form they have on disk.
class RefcountBlock {
  public:
    /// All counts 0. bits: of one count, a power of two up to 64.
    RefcountBlock(std::uint64_t first_cluster, std::uint64_t cluster_size, std::uint32_t bits);

    std::uint64_t first_cluster() const { return first_cluster_; } ///< that it counts
    std::uint64_t size() const { return counts_; }                 ///< clusters that it counts
    std::uint64_t get(std::uint64_t index) const;
    void set(std::uint64_t index, std::uint64_t value);
    std::span<std::byte> bytes() { return bytes_; }

  private:
    std::uint64_t first_cluster_;
    std::uint32_t bits_;
    std::uint64_t counts_;
    std::vector<std::byte> bytes_;
};

/// The refcounts of an image file. Holds the table, reads blocks when visited. Refers to the file. Errors:
/// damaged, with the offset, for a table or a block that is misaligned, within the header or beyond the end of
/// the file. Threads: one at a time.
class Refcounts {
  public:
    Refcounts(File& file, const Header& header, std::uint64_t file_size);

    std::uint64_t cluster_size() const { return cluster_size_; }
    std::uint64_t per_block() const { return cluster_size_ * 8 / bits_; } ///< clusters that a block counts
    std::uint32_t bits() const { return bits_; }
    /// Where the table lies in the file, bytes.
    Range place() const { return {table_offset_, table_.size() * 8}; }
    /// Offsets of the blocks; 0: none, all its counts are 0.
    std::span<const std::uint64_t> table() const { return table_; }

    /// What a visitor changes is written when it returns; nothing is synced.
    using Visitor = std::function<void(RefcountBlock&)>;
    void visit_block(std::size_t index, const Visitor& visit);
    /// Every block that there is, in the order of the clusters it counts.
    void visit_blocks(const Visitor& visit);

    /// One less for each occurrence in `clusters` (any order). What got to 0, in bytes of the file. Throws
    /// damaged where one is 0 already.
    ExtentSet lower(std::vector<std::uint64_t> clusters);

  private:
    File& file_;
    std::uint64_t cluster_size_;
    std::uint32_t bits_;
    std::uint64_t table_offset_;
    std::vector<std::uint64_t> table_;
};

} // namespace disktool::qcow2
