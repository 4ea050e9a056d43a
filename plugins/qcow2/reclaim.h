// SPDX-License-Identifier: LGPL-2.1-or-later
// What an image could give back to its host, worked out in one walk and without changing anything.
#pragma once

#include "image.h"
#include "refcounts.h"
#include "reference_count.h"

#include <disktool/extents.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace disktool::qcow2 {

/// Made from the image as it is now; good until the image changes. Errors: damaged for an image in which
/// something is referenced that its refcounts do not know: there, a cluster that counts as free may hold data.
class Reclaim {
  public:
    /// discardable: guest bytes.
    Reclaim(Image& image, const ExtentSet& discardable);

    // The guest's side.
    const ExtentSet& discardable() const { return discardable_; } ///< whole clusters
    const ReferenceCount& references() const { return references_; }
    std::uint64_t clusters() const { return clusters_; } ///< guest clusters to be discarded
    std::uint64_t shared() const { return shared_; }     ///< guest bytes kept for a snapshot's sake
    /// The L1 indices of the tables that have entries to erase, ascending.
    const std::vector<std::uint64_t>& tables() const { return tables_; }

    // The file's side; bytes of the file.
    /// What a refcount has to become.
    std::uint64_t target(std::uint64_t refcount, const ReferenceCount::Cell& cell) const;
    std::uint64_t leaked_clusters() const { return leaked_clusters_; } ///< to be mended
    /// Held by the host for clusters that nothing refers to.
    std::uint64_t leaked() const { return leaked_; }
    std::uint64_t changed_blocks() const { return changed_blocks_; } ///< refcount blocks to write
    /// Held by the host for clusters that are free then.
    const ExtentSet& held() const { return held_; }
    /// What has to be punched: all that becomes free, and what is free already and still held.
    const ExtentSet& holes() const { return holes_; }
    /// Where the last used cluster ends; may lie beyond the end of the file.
    std::uint64_t used_end() const { return used_end_; }
    /// Why leaks are not mended; empty: they are.
    const std::string& unknown_owner() const { return unknown_owner_; }

    bool nothing_to_do() const { return clusters_ == 0 && changed_blocks_ == 0 && held_.empty(); }

  private:
    void compare(Image& image);

    ExtentSet discardable_;
    std::string unknown_owner_;
    ReferenceCount references_;
    std::uint64_t clusters_ = 0;
    std::uint64_t shared_ = 0;
    std::vector<std::uint64_t> tables_;
    std::uint64_t leaked_clusters_ = 0;
    std::uint64_t leaked_ = 0;
    std::uint64_t changed_blocks_ = 0;
    ExtentSet held_;
    ExtentSet holes_;
    std::uint64_t used_end_ = 0;
};

/// Every cluster of the file, and those beyond its end that have a refcount, with what is on disk.
void for_each_cluster(Refcounts& refcounts, std::uint64_t clusters,
                      const std::function<void(std::uint64_t cluster, std::uint64_t refcount)>& visit);

} // namespace disktool::qcow2
