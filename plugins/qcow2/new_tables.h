// SPDX-License-Identifier: LGPL-2.1-or-later
// The new clusters of a growing image: where they lie, and what is in them.
#pragma once

#include "allocator.h"
#include "grow_layout.h"
#include "image.h"

#include <disktool/format.h>

#include <cstdint>
#include <span>
#include <vector>

namespace disktool::qcow2 {

/// Writes data clusters, L2 tables and the L1 table of a layout to clusters that nothing refers to yet. Refers
/// to image and layout. Threads: one at a time.
class NewTables {
  public:
    NewTables(Image& image, const GrowLayout& layout, Allocator& allocator);

    std::uint64_t l1_offset() const { return l1_offset_; } ///< of the new L1 table; only where there is one
    /// One after the other; false when all is written.
    bool write_next(const std::vector<Patch>& patches);
    /// Clusters of the file that have one reference less once the new tables count, in any order.
    const std::vector<std::uint64_t>& dropped() const { return dropped_; }

  private:
    void write_cluster(std::uint64_t guest_cluster, std::uint64_t offset, const std::vector<Patch>& patches);
    void write_table(std::uint64_t l1_index, std::uint64_t offset);
    void write_l1();
    void drop(Range place);

    Image& image_;
    const GrowLayout& layout_;
    const Header& header_;
    std::uint64_t l1_offset_ = 0;
    std::uint64_t tables_offset_ = 0;
    std::uint64_t clusters_offset_ = 0;
    std::size_t written_ = 0; ///< clusters, then tables, then the L1 table
    std::vector<std::uint64_t> dropped_;
};

} // namespace disktool::qcow2
