// SPDX-License-Identifier: LGPL-2.1-or-later
// Which parts of an image must exist anew so that it can grow in one write.
#pragma once

#include "image.h"

#include <disktool/format.h>

#include <cstdint>
#include <vector>

namespace disktool::qcow2 {

/// Worked out from the image as it is; changes nothing. Errors: see plan_grow.
struct GrowLayout {
    GrowLayout(Image& image, const ResizeRequest& request);

    /// Nothing is needed but new numbers in the header.
    bool header_only() const { return !new_l1; }
    std::uint64_t new_clusters(const Header& header) const; ///< without those for refcounts

    std::uint64_t old_size = 0; ///< bytes
    std::uint64_t new_size = 0; ///< bytes
    std::uint64_t l1_size = 0;  ///< entries
    bool new_l1 = false;
    /// L1 indices whose L2 table is written anew, ascending.
    std::vector<std::uint64_t> tables;
    /// Guest clusters that get a new data cluster, ascending: those that a patch touches, and the last one of
    /// the old size, if what lies behind its end may not be zeros.
    std::vector<std::uint64_t> clusters;
    /// The first guest cluster that lies wholly behind the old end.
    std::uint64_t first_exposed = 0;
    /// Behind the last one that must say that it is zeros, since the backing file goes on there.
    std::uint64_t zeroed_end = 0;

  private:
    void check_size(const Image& image, const Header& header) const;
    void find_clusters(Image& image, const ResizeRequest& request, std::uint64_t backing_size);
    void find_tables(Image& image);
};

} // namespace disktool::qcow2
