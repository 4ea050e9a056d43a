// SPDX-License-Identifier: LGPL-2.1-or-later
// Entries of L1 and L2 tables: what the words mean, and that they can be believed.
#pragma once

#include "header.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace disktool::qcow2 {

/// Bits of table entries, in host byte order.
namespace entry_bits {
constexpr std::uint64_t copied = 1ull << 63;     ///< the refcount is exactly one
constexpr std::uint64_t compressed = 1ull << 62; ///< of L2 entries
constexpr std::uint64_t offset = 0x00ff'ffff'ffff'fe00;
constexpr std::uint64_t l1_reserved = 0x7f00'0000'0000'01ff;
constexpr std::uint64_t l2_reserved = 0x3f00'0000'0000'01fe;
constexpr std::uint64_t zero = 1; ///< version 3 without subclusters: reads as zeros
} // namespace entry_bits

enum class ClusterKind : std::uint8_t {
    unallocated,
    zero_plain,     ///< reads as zeros, no host cluster
    zero_allocated, ///< reads as zeros, keeps a host cluster
    data,
    compressed,
};

/// One decoded L2 entry. With subclusters `kind` speaks of the cluster as a whole: data and zero_allocated own
/// a host cluster, zero_plain and zero_allocated read as zeros from end to end; what each subcluster is, say
/// the two bitmaps (bit n: subcluster n). Without subclusters the bitmaps are all ones or 0, as kind says.
struct ClusterEntry {
    ClusterKind kind = ClusterKind::unallocated;
    bool copied = false;
    std::uint64_t host_offset = 0;       ///< bytes; of a compressed one, where its data starts
    std::uint64_t compressed_length = 0; ///< bytes, up to the end of its last sector; an upper bound
    std::uint32_t allocated = 0;         ///< subclusters that hold data
    std::uint32_t zero = 0;              ///< subclusters that read as zeros

    /// A whole cluster of the file is held by this entry alone.
    bool owns_host_cluster() const { return kind == ClusterKind::data || kind == ClusterKind::zero_allocated; }
};

/// Decodes and checks entries: reserved bits clear, offsets aligned, not in the header's cluster, not beyond
/// the end of the file. Throws damaged, naming the table's offset and the entry. Threads: any.
class EntryDecoder {
  public:
    /// file_size: of the image file. Offsets into an external data file have no bound but the guest's size.
    EntryDecoder(std::string path, const Header& header, std::uint64_t file_size);

    /// Offset of the L2 table that L1 entry `index` names; 0: none.
    std::uint64_t l1(std::uint64_t entry, std::uint64_t index) const;
    /// Entry `index` of an L2 table that lies at `table_offset` of the file. `table` holds words_per_entry()
    /// words an entry, in host byte order.
    ClusterEntry l2(std::span<const std::uint64_t> table, std::size_t index, std::uint64_t table_offset) const;

  private:
    void decode_compressed(ClusterEntry& result, std::uint64_t word) const;
    // Why the entry cannot be believed; null where it can.
    const char* compressed_fault(const ClusterEntry& entry) const;
    const char* fault(std::uint64_t host_offset, std::uint64_t word, bool allocated) const;
    static const char* decode_subclusters(ClusterEntry& result, std::uint64_t bitmap, bool allocated);

    std::string path_;
    std::uint32_t version_;
    std::uint32_t cluster_bits_;
    bool extended_;
    bool external_data_;
    std::uint64_t file_size_;
};

} // namespace disktool::qcow2
