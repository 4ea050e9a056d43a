// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reclaim.h"

#include "damage.h"
#include "free_rule.h"
#include "host_space.h"
#include "reference_walk.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace disktool::qcow2 {

void for_each_cluster(Refcounts& refcounts, std::uint64_t clusters,
                      const std::function<void(std::uint64_t cluster, std::uint64_t refcount)>& visit) {
    std::uint64_t done = 0;
    refcounts.visit_blocks([&](RefcountBlock& block) {
        for (; done < std::min(clusters, block.first_cluster()); ++done) {
            visit(done, 0);
        }
        for (std::uint64_t index = 0; index < block.size(); ++index) {
            const std::uint64_t cluster = block.first_cluster() + index;
            if (const std::uint64_t refcount = block.get(index); refcount != 0 || cluster < clusters) {
                visit(cluster, refcount);
            }
        }
        done = block.first_cluster() + block.size();
    });
    for (; done < clusters; ++done) {
        visit(done, 0);
    }
}

Reclaim::Reclaim(Image& image, const ExtentSet& discardable)
    : discardable_(whole_clusters(image.metadata().header(), discardable)),
      unknown_owner_(qcow2::unknown_owner(image.metadata().header())),
      references_(image.file().path(), image.metadata().file_size(), image.metadata().header().cluster_size()) {
    const Header& header = image.metadata().header();
    count_fixed(image, references_);
    FreeRule rule(header, image.backing() != nullptr, discardable_, references_);
    count_active(
        image, references_,
        [&](std::uint64_t l1_index, std::uint64_t guest_cluster, const ClusterEntry& entry, bool table_shared) {
            switch (rule.decide(guest_cluster, entry, table_shared)) {
            case Fate::keep:
                break;
            case Fate::keep_shared:
                shared_ += header.cluster_size();
                break;
            case Fate::free:
                references_.remove(host_range(entry, header.cluster_size()));
                ++clusters_;
                if (tables_.empty() || tables_.back() != l1_index) {
                    tables_.push_back(l1_index);
                }
                break;
            }
        },
        [](const Error& error) { throw error; });
    compare(image);
}

std::uint64_t Reclaim::target(std::uint64_t refcount, const ReferenceCount::Cell& cell) const {
    const std::uint64_t exact = cell.references - cell.removed;
    // A leak that is left over from others may stay: when the clusters may be someone's, or when the one entry
    // that is left would have to be told that it is the only one now.
    const bool keep_leak = !unknown_owner_.empty() || (exact == 1 && cell.said_to_be_more);
    return keep_leak ? refcount - cell.removed : exact;
}

void Reclaim::compare(Image& image) {
    const std::uint64_t cluster_size = image.metadata().header().cluster_size();
    const std::uint64_t file_size = image.metadata().file_size();
    Refcounts refcounts(image.file(), image.metadata().header(), file_size);
    ExtentSet free;
    ExtentSet becoming_free;
    ExtentSet leaked;
    std::uint64_t changed_block = std::numeric_limits<std::uint64_t>::max();
    for_each_cluster(refcounts, references_.clusters(), [&](std::uint64_t cluster, std::uint64_t refcount) {
        const ReferenceCount::Cell cell = references_.at(cluster);
        if (refcount < cell.references) {
            throw_damaged(image.file().path(),
                          fmt::format("the cluster at offset {} is used {} times and has refcount {}",
                                      cluster * cluster_size, cell.references, refcount));
        }
        const std::uint64_t after = target(refcount, cell);
        if (after != refcount && cluster / refcounts.per_block() != changed_block) {
            changed_block = cluster / refcounts.per_block();
            ++changed_blocks_;
        }
        const bool leak = refcount - after > cell.removed;
        leaked_clusters_ += leak;
        if (cluster >= references_.clusters()) {
            if (after != 0) {
                used_end_ = std::max(used_end_, file_size);
            }
        } else if (after != 0) {
            used_end_ = (cluster + 1) * cluster_size;
        } else {
            const Range place{cluster * cluster_size,
                              std::min(cluster_size, file_size - cluster * cluster_size)};
            free.append(place);
            if (refcount != 0) {
                becoming_free.append(place);
            }
            if (leak) {
                leaked.append(place);
            }
        }
    });
    held_ = held_bytes(image.file(), free.rounded_inward(host_block));
    holes_ = held_.unite(becoming_free.rounded_inward(host_block));
    leaked_ = held_.intersect(leaked).total();
}

} // namespace disktool::qcow2
