// SPDX-License-Identifier: LGPL-2.1-or-later
// The mapping tables of an open image, with bounded memory.
#pragma once

#include "entry.h"
#include "header.h"

#include <disktool/file.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace disktool::qcow2 {

/// Header and active L1 table, held whole; L2 tables, read when asked for and kept in a cache of a few MiB.
/// Table words are in host byte order. Refers to the File, which must outlive it. Threads: one at a time.
/// Errors: damaged for every offset that cannot be, with the place.
class Metadata {
  public:
    /// Reads the header and the L1 table. Two L1 entries that name the same L2 table are refused as damaged:
    /// so a walk over all L2 tables reads no more than the file holds.
    explicit Metadata(File& file);

    const Header& header() const { return header_; }
    std::uint64_t file_size() const { return file_size_; }
    const EntryDecoder& decoder() const { return decoder_; }

    /// header().l1_size words; those beyond the virtual size belong to nobody's data but are counted.
    std::span<const std::uint64_t> l1() const { return l1_; }
    /// None where there is no L2 table.
    std::optional<std::uint64_t> l2_offset(std::uint64_t l1_index) const;
    /// All words of the table; empty where there is none. Valid until the next call of anything here.
    std::span<const std::uint64_t> l2_table(std::uint64_t l1_index);
    ClusterEntry entry(std::uint64_t guest_cluster);

    using L2Visitor =
        std::function<void(std::uint64_t l1_index, std::uint64_t offset, std::span<const std::uint64_t> table)>;
    /// Every L2 table of the active L1, in its order. One buffer of one cluster; passes by the cache.
    void for_each_l2(const L2Visitor& visit) const { for_each_l2(l1_, visit); }
    /// The same of another L1 table (a snapshot's), which is checked as the active one was.
    void for_each_l2(std::span<const std::uint64_t> l1, const L2Visitor& visit) const;
    /// An L1 table of `entries` words at `offset`: within the file, aligned, no larger than QEMU's limit.
    std::vector<std::uint64_t> read_l1(std::uint64_t offset, std::uint64_t entries) const;

    /// The file was changed: drops the cached L2 tables and reads header, L1 table and length anew.
    void forget();

  private:
    struct Table {
        std::uint64_t l1_index;
        std::vector<std::uint64_t> words;
    };
    void check_distinct(std::span<const std::uint64_t> l1) const;
    void load_l1();
    void read_words(std::uint64_t offset, std::span<std::uint64_t> words) const;

    File& file_;
    Header header_;
    std::uint64_t file_size_;
    EntryDecoder decoder_;
    std::vector<std::uint64_t> l1_;
    std::list<Table> tables_; ///< most recently used first
    std::unordered_map<std::uint64_t, std::list<Table>::iterator> index_;
};

} // namespace disktool::qcow2
