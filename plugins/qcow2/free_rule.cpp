// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_rule.h"

#include <disktool/size.h>

namespace disktool::qcow2 {

FreeRule::FreeRule(const Header& header, bool has_backing, const ExtentSet& discardable,
                   const ReferenceCount& counts)
    : cursor_(discardable), counts_(counts), cluster_size_(header.cluster_size()),
      extended_(header.extended_l2()), zero_flag_(has_backing && header.version >= 3) {}

Fate FreeRule::decide(std::uint64_t guest_cluster, const ClusterEntry& entry, bool table_shared) {
    const Range host = host_range(entry, cluster_size_);
    if (host.empty() || !cursor_.contains({guest_cluster * cluster_size_, cluster_size_})) {
        return Fate::keep;
    }
    if (table_shared || counts_.in_snapshot(host)) {
        return Fate::keep_shared;
    }
    // An entry that does not claim its cluster for itself alone is left alone, whoever else may have it.
    return entry.kind == ClusterKind::compressed || entry.copied ? Fate::free : Fate::keep;
}

void FreeRule::erase(std::span<std::uint64_t> entry_words) const {
    if (zero_flag_) {
        make_zero(entry_words, extended_);
        return;
    }
    for (std::uint64_t& word : entry_words) {
        word = 0;
    }
}

void make_zero(std::span<std::uint64_t> entry_words, bool extended) {
    if (extended) {
        entry_words[0] = 0;
        entry_words[1] = 0xffff'ffff'0000'0000; // every subcluster reads as zeros, none is allocated
    } else {
        entry_words[0] = entry_bits::zero;
    }
}

Range host_range(const ClusterEntry& entry, std::uint64_t cluster_size) {
    switch (entry.kind) {
    case ClusterKind::data:
    case ClusterKind::zero_allocated:
        return {entry.host_offset, cluster_size};
    case ClusterKind::compressed:
        return {entry.host_offset, entry.compressed_length};
    case ClusterKind::unallocated:
    case ClusterKind::zero_plain:
        break;
    }
    return {};
}

ExtentSet whole_clusters(const Header& header, const ExtentSet& bytes) {
    const std::uint64_t unit = header.cluster_size();
    ExtentSet within = bytes.clip({0, header.virtual_size});
    if (!within.empty() && within.span().end() == header.virtual_size) {
        within.append({header.virtual_size, round_up(header.virtual_size, unit) - header.virtual_size});
    }
    return within.rounded_inward(unit);
}

} // namespace disktool::qcow2
